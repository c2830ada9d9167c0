"""Publish a folder, look at what would be published, stop publishing, forget."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import trio

from p2phub import limits
from p2phub.content import Codec, Digest
from p2phub.engine import publish as engine
from p2phub.engine.mirrors import remove_mirror_files, write_mirror_files
from p2phub.errors import DiskError, HubError, NotFound, UsageError
from p2phub.identity import parse_peer_id
from p2phub.manifest import MIRROR_FOLDER, RELATION_BYTES_MAX, Ticket, encode_ticket, parse_ticket, read_release
from p2phub.node.compose import Parts
from p2phub.node.earlier import earlier_published
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Published, Watch
from p2phub.store import DRAFT, Holding, Origin, Publication

_log = logging.getLogger(__name__)
ANNOUNCE_WAIT_S = 10.0  # How long `publish` waits to be able to say whether the network knows it.
REMARKS_MAX = 1000  # Of a folder of a million files that are all of one kind, so many tell it.
RELATION = "finetune"  # To a parent of which nothing else is said.
LOOK_UP_NAME_S = 10.0  # How long `publish` looks for a newer release of its own name, made on another machine.


async def publish(
    node: Running,
    watch: Watch,
    *,
    folder: str,
    name: str,
    tag: str,
    kind: str,
    description: str,
    licence: str,
    private: bool,
    allow: Sequence[str],
    ignore: Sequence[str],
    include: Sequence[str],
    mirror_files: str | None = None,
    parents: Sequence[str] = (),
) -> JsonObject:
    parts, began = node.parts, time.monotonic()
    order = engine.Order(
        folder=Path(folder),
        name=name,
        tag=tag,
        kind=kind,
        description=description,
        licence=licence,
        parents=await parents_of(node, parents, private=private),
        private=private,
        allow=tuple(parse_peer_id(peer) for peer in allow),
        ignore=tuple(ignore),
        include=tuple(include),
    )
    if mirror_files is not None and private:
        raise UsageError("mirror_files does not go with private: a mirror tells everybody what it has")
    outcome = await engine.publish(
        order,
        key=parts.publisher,
        store=parts.store,
        ledger=parts.ledger,
        workers=parts.workers,
        watch=watch,
        known_sequence=await sequence_elsewhere(node, name, tag) if not private else 0,
    )
    parts.shelf.forget(outcome.manifest)
    with suppress(HubError):  # It is published, whatever is the matter with what was; the next one sees to it again.
        await node.keeping.end_earlier(order.folder)
    if mirror_files is not None:
        await _mirror(node, outcome, Path(mirror_files))
    return await published(node, outcome, began)


async def published(node: Running, outcome: engine.Outcome, began: float) -> JsonObject:
    """Announce what was published, and return what is told of it. `began`: when, by `time.monotonic`."""
    parts, release = node.parts, outcome.release
    ticket = Ticket(outcome.manifest, None if release.private else outcome.signed, parts.ticket_addresses())
    text = encode_ticket(ticket, private=parts.ticket_may_be_private())
    others = await parts.workers.run(lambda: _other_names(parts, outcome))
    return Published(
        reference=parts.resolver.names.spell(release.publisher, release.name, release.tag),
        manifest=outcome.manifest.text(Codec.MSGPACK),
        ticket=text,
        files=outcome.files,
        bytes=outcome.bytes,
        bytes_hashed=outcome.bytes_hashed,
        announced=not release.private and await _announce(node, outcome.manifest),
        seconds=round(time.monotonic() - began, 3),
        remarks=[{"path": path, "what": what} for path, what in outcome.remarks[:REMARKS_MAX]],
        other_names=others,
        ticket_addresses=[str(each) for each in parse_ticket(text).providers],
    ).as_json()


def _other_names(parts: Parts, outcome: engine.Outcome) -> list[dict[str, object]]:
    """Return the names beside its own under which the same content is published here. Blocks."""
    own = (outcome.release.publisher, outcome.release.name, outcome.release.tag)
    return [
        {"reference": parts.resolver.names.spell(item.publisher, item.name, item.tag), "private": item.private}
        for item in parts.ledger.publications()
        if item.manifest == outcome.manifest and (item.publisher, item.name, item.tag) != own
    ]


async def parents_of(node: Running, named: Sequence[str], *, private: bool) -> tuple[tuple[Digest, str], ...]:
    """Return the base models that the user named, each `REF` or `RELATION=REF`, as a release tells them.

    Raises UsageError for too many, a relation that is none, or a private one in a public release, whose manifest that
    would tell everybody; and what resolving a reference raises.
    """
    if len(named) > limits.PARENTS_MAX:
        raise UsageError(f"{len(named)} parents; a release names {limits.PARENTS_MAX} at most")
    parents: dict[Digest, str] = {}
    for text in named:
        relation, is_said, ref = text.rpartition("=")
        if is_said and not (relation.isascii() and relation.isalpha() and len(relation) <= RELATION_BYTES_MAX):
            raise UsageError(f"{relation!r} is no relation to a parent", hint=f"a word, as in finetune={ref}")
        resolved = await node.parts.resolver.resolve(ref, ())
        if resolved.release is not None and resolved.release.private and not private:
            raise UsageError(f"{ref} is private, and a public release would name it", hint="leave it out, or --private")
        parents[resolved.manifest] = relation or RELATION
    return tuple(parents.items())


async def _mirror(node: Running, outcome: engine.Outcome, folder: Path) -> None:
    """Write what makes `folder` a mirror of what was published. Raises DiskError, which says that the rest is done."""
    manifest, release = outcome.manifest, outcome.release
    name = (release.publisher, release.name, release.tag)
    try:
        await node.parts.workers.run(
            lambda: write_mirror_files(folder, manifest, outcome.signed, store=node.parts.store, name=name)
        )
    except DiskError as error:
        node.shelf_changed(manifest)
        what = f"it is published, but without what a mirror needs: {error.message}"
        raise DiskError(what, hint=error.hint) from error


async def survey(
    node: Running, watch: Watch, *, folder: str, ignore: Sequence[str], include: Sequence[str]
) -> JsonObject:
    order = engine.Order(folder=Path(folder), name="survey", ignore=tuple(ignore), include=tuple(include))
    found = await engine.survey(order, store=node.parts.store, workers=node.parts.workers)
    refused = [{"path": path, "why": "looks like a secret"} for path in found.secrets]
    refused += [{"path": path, "why": "a link that leaves the folder"} for path in found.outside]
    refused += [{"path": path, "why": "cannot be read: permission denied"} for path in found.unreadable]
    return {
        "files": [{"path": each.path, "size": each.fingerprint.size} for each in found.scan.files],
        "left_out": [{"path": path, "why": why} for path, why in found.scan.left_out],
        "refused": refused,
        "refused_because": _why_refused(order, found),
        "bytes": sum(each.fingerprint.size for each in found.scan.files),
    }


def _why_refused(order: engine.Order, found: engine.Survey) -> str | None:
    """Return what `publish` would say if it would refuse."""
    try:
        engine.check_survey(order, found)
    except (UsageError, DiskError) as error:
        return error.message
    return None


async def unpublish(node: Running, watch: Watch, *, ref: str) -> JsonObject:
    parts = node.parts

    def withdraw() -> _Withdrawn:
        name = parts.resolver.names.name_of(ref)
        mine = [item for item in parts.ledger.publications() if (item.publisher, item.name, item.tag) == name]
        if not mine:
            raise NotFound(f"{ref} is not published here", hint="`p2phub ls` shows what is")
        parts.ledger.withdraw(*name)
        mirrored = _take_mirror_files(parts, mine[0])
        manifest = mine[0].manifest
        if all(item.manifest != manifest for item in parts.ledger.publications()):
            if _is_of_draft(parts, manifest):  # Nobody else has its files: they stay ours, and are kept to ourselves.
                parts.ledger.withhold(manifest, withheld=True)
            else:
                parts.store.release(manifest)
        return _Withdrawn(mine[0], mirrored, *_end_earlier(parts, mine[0]))

    gone = await parts.workers.run(withdraw)
    for manifest in (gone.publication.manifest, *gone.earlier):
        node.shelf_changed(manifest)
    return {
        "reference": ref,
        "manifest": gone.publication.manifest.text(Codec.MSGPACK),
        "folder": str(gone.publication.folder),
        "mirror_files_removed": gone.mirrored,
        "earlier": [manifest.text(Codec.MSGPACK) for manifest in gone.earlier],
        "earlier_pinned": [manifest.text(Codec.MSGPACK) for manifest in gone.earlier_pinned],
    }


class _Withdrawn(NamedTuple):
    """What a name meant, where its mirror's files stood, and which earlier versions ended with it, or are pinned."""

    publication: Publication
    mirrored: str | None
    earlier: list[Digest]
    earlier_pinned: list[Digest]


def _end_earlier(parts: Parts, gone: Publication) -> tuple[list[Digest], list[Digest]]:
    """Stop serving the versions that a name meant before, which it would be the only one to tell of; return those, and
    those that stay as they are because somebody pinned them. Blocks."""
    ended: dict[Digest, None] = {}
    stay: dict[Digest, None] = {}
    pins = parts.ledger.pins()
    for held in earlier_published(parts, gone):
        if held.manifest in pins:
            stay[held.manifest] = None
            continue
        if held.source == DRAFT:
            parts.ledger.withhold(held.manifest, withheld=True)
        else:
            parts.store.release(held.manifest, held.folder)
        ended[held.manifest] = None
    return list(ended), list(stay)


def _is_of_draft(parts: Parts, manifest: Digest) -> bool:
    """Return whether what is held of a manifest was published of a draft, in the home's own store."""
    return any(each.source == DRAFT for each in parts.store.holdings(manifest))


def _take_mirror_files(parts: Parts, item: Publication) -> str | None:
    """Remove what `publish` wrote into the published folder for a mirror, and return where, None if nothing. Where else
    it wrote some is not noted anywhere."""
    folder = Path(item.folder)
    try:
        if not remove_mirror_files(folder, store=parts.store, name=(item.publisher, item.name, item.tag)):
            return None
    except HubError as error:  # The folder is gone, or not ours to change: no reason to go on publishing.
        _log.warning("what a mirror needs stays: %s", error)
        return None
    return str(folder / MIRROR_FOLDER)


async def remove(node: Running, watch: Watch, *, ref: str, folder: str | None = None) -> JsonObject:
    parts = node.parts

    def forget() -> tuple[list[Holding], list[str], list[str]]:
        mirrored: list[str] = []
        withdrawn: list[str] = []
        found = node.holdings_of(ref, folder)
        holdings = [holding for holding in found if holding.origin is not Origin.SHARED]
        if not holdings:
            place = found[0].source.name if found[0].source is not None else found[0].folder
            hint = f"to have nothing of it offered here: p2phub detach {place}"
            raise NotFound(f"{ref} is not held here, but listed by the attached place {place}", hint=hint)
        gone = {(holding.manifest, holding.folder) for holding in holdings}
        for item in parts.ledger.publications():
            if (item.manifest, Path(os.path.abspath(item.folder))) in gone:
                parts.ledger.withdraw(item.publisher, item.name, item.tag)
                withdrawn.append(parts.resolver.names.spell(item.publisher, item.name, item.tag))
                if (removed := _take_mirror_files(parts, item)) is not None:
                    mirrored.append(removed)
        for manifest, place in gone:
            parts.store.release(manifest, place)
            if not parts.store.held_at(manifest):  # Else it would be kept from a collection for ever, by nothing.
                parts.ledger.pin(manifest, pinned=False)
        return holdings, withdrawn, list(dict.fromkeys(mirrored))

    holdings, withdrawn, mirrored = await parts.workers.run(forget)
    for manifest in {holding.manifest for holding in holdings}:
        node.shelf_changed(manifest)
    folders = list(dict.fromkeys(str(holding.folder) for holding in holdings))
    return {
        "manifest": holdings[0].manifest.text(Codec.MSGPACK),
        "folder": folders[0],
        "folders": folders,
        "own": [str(holding.folder) for holding in holdings if holding.origin is Origin.OWN],
        "unpublished": withdrawn,
        "mirror_files_removed": mirrored,
    }


async def sequence_elsewhere(node: Running, name: str, tag: str) -> int:
    """Return the newest sequence of our own name that the network knows; only where the network is up already."""
    if node.announcer is None:
        return 0
    with trio.move_on_after(LOOK_UP_NAME_S):
        found = await (await node.parts.open_finder()).release(node.parts.publisher.peer_id, name, tag)
        return max((read_release(signed).sequence for signed in found), default=0)
    return 0


async def _announce(node: Running, manifest: Digest) -> bool:
    if node.announcer is None:
        return False
    node.announcer.again(manifest)
    with trio.move_on_after(ANNOUNCE_WAIT_S):
        return await node.announcer.wait_announced(manifest) > 0
    return False

"""What a node can do, one method a verb: the same for a command's transient node and for the daemon.

Arguments and results are JSON-able, because the daemon's control socket carries them; `api.hub` gives them types.
Events go to `watch` as they happen. Errors are HubError.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from p2phub.content import Codec, Digest
from p2phub.discovery import Candidate
from p2phub.engine.announce import Announcer
from p2phub.engine.doctor import examine_home, examine_reach, finding
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.publish import Order, publish, survey
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.engine.verify import verify
from p2phub.errors import NotFound, UsageError
from p2phub.identity import PeerAddress, parse_peer_address, parse_peer_id
from p2phub.manifest import Manifest, Release, Ticket, decode_manifest, encode_ticket, read_release
from p2phub.node.compose import Parts
from p2phub.node.keystore import export_publisher_key, import_publisher_key
from p2phub.observe import Published, PublishProgress, Watch
from p2phub.store import Holding

JsonObject = dict[str, Any]
ANNOUNCE_WAIT_S = 10.0  # How long `publish` waits to be able to say whether the network knows it.
LOOK_UP_NAME_S = 10.0  # How long `publish` looks for a newer release of its own name, made on another machine.


class Verbs:
    """The verbs over one node's parts. `announcer` is None where nothing is announced (a command's transient node)."""

    def __init__(self, parts: Parts, announcer: Announcer | None = None) -> None:
        self._parts = parts
        self._announcer = announcer
        self._jobs: dict[int, JsonObject] = {}
        self._job_count = 0
        self._began = time.time()

    async def call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        """Carry out `verb`. Raises UsageError for one that does not exist or for arguments that do not fit it."""
        if verb not in VERBS:
            raise UsageError(f"there is no verb {verb[:40]!r}")
        method: Callable[..., Awaitable[JsonObject]] = getattr(self, verb)
        try:
            inspect.signature(method).bind(watch, **args)
        except TypeError as exc:
            raise UsageError(f"arguments do not fit {verb}: {exc}") from exc
        return await method(watch, **args)

    # --- publishing ------------------------------------------------------------------------------------------------

    async def publish(
        self,
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
    ) -> JsonObject:
        parts, began = self._parts, time.monotonic()
        order = Order(
            folder=Path(folder),
            name=name,
            tag=tag,
            kind=kind,
            description=description,
            licence=licence,
            private=private,
            allow=tuple(parse_peer_id(peer) for peer in allow),
            ignore=tuple(ignore),
            include=tuple(include),
        )
        if order.allow and not private:
            raise UsageError("allow goes with private: a public name is for everybody")
        outcome = await publish(
            order,
            key=parts.publisher,
            store=parts.store,
            ledger=parts.ledger,
            workers=parts.workers,
            watch=watch,
            known_sequence=await self._sequence_elsewhere(name, tag) if not private else 0,
        )
        parts.shelf.forget(outcome.manifest)
        parts.shelf.unserved.discard(outcome.manifest)
        ticket = Ticket(outcome.manifest, None if private else outcome.signed, parts.ticket_addresses())
        return Published(
            reference=parts.resolver.spell(parts.publisher.peer_id, name, tag),
            manifest=outcome.manifest.text(Codec.MSGPACK),
            ticket=encode_ticket(ticket, private=parts.ticket_may_be_private()),
            files=outcome.files,
            bytes=outcome.bytes,
            bytes_hashed=outcome.bytes_hashed,
            announced=not private and await self._announce(outcome.manifest),
            seconds=round(time.monotonic() - began, 3),
        ).as_json()

    async def survey(self, watch: Watch, *, folder: str, ignore: Sequence[str], include: Sequence[str]) -> JsonObject:
        order = Order(folder=Path(folder), name="survey", ignore=tuple(ignore), include=tuple(include))
        scan = await survey(order, store=self._parts.store, workers=self._parts.workers)
        return {
            "files": [{"path": found.path, "size": found.fingerprint.size} for found in scan.files],
            "left_out": [{"path": path, "why": why} for path, why in scan.left_out],
            "bytes": sum(found.fingerprint.size for found in scan.files),
        }

    async def unpublish(self, watch: Watch, *, ref: str) -> JsonObject:
        parts = self._parts
        name = parts.resolver.name_of(ref)
        mine = [item for item in parts.ledger.publications() if (item.publisher, item.name, item.tag) == name]
        if not mine:
            raise NotFound(f"{ref} is not published here", hint="`p2phub ls` shows what is")
        parts.ledger.withdraw(*name)
        manifest = mine[0].manifest
        if all(item.manifest != manifest for item in parts.ledger.publications()):
            parts.store.release(manifest)
        self._shelf_changed(manifest)
        return {"reference": ref, "manifest": manifest.text(Codec.MSGPACK)}

    async def remove(self, watch: Watch, *, ref: str) -> JsonObject:
        parts = self._parts
        holding = self._holding(ref)
        for item in parts.ledger.publications():
            if item.manifest == holding.manifest:
                parts.ledger.withdraw(item.publisher, item.name, item.tag)
        parts.store.release(holding.manifest)
        self._shelf_changed(holding.manifest)
        return {"manifest": holding.manifest.text(Codec.MSGPACK), "folder": str(holding.folder)}

    async def _sequence_elsewhere(self, name: str, tag: str) -> int:
        """Return the newest sequence of our own name that the network knows; only where the network is up already."""
        if self._announcer is None:
            return 0
        with trio.move_on_after(LOOK_UP_NAME_S):
            found = await (await self._parts.open_finder()).release(self._parts.publisher.peer_id, name, tag)
            return max((read_release(signed).sequence for signed in found), default=0)
        return 0

    async def _announce(self, manifest: Digest) -> bool:
        if self._announcer is None:
            return False
        self._announcer.again(manifest)
        with trio.move_on_after(ANNOUNCE_WAIT_S):
            return await self._announcer.wait_announced(manifest) > 0
        return False

    def _shelf_changed(self, manifest: Digest) -> None:
        self._parts.shelf.forget(manifest)
        if self._announcer is not None:
            self._announcer.refresh()

    # --- fetching --------------------------------------------------------------------------------------------------

    async def fetch(
        self, watch: Watch, *, ref: str, into: str, providers: Sequence[str], force: bool, serve: bool
    ) -> JsonObject:
        parts = self._parts
        given = tuple(parse_peer_address(provider) for provider in providers)
        resolved = await parts.resolver.resolve(ref, given)
        number, self._job_count = self._job_count, self._job_count + 1
        self._jobs[number] = {"job": number, "reference": ref, "into": into}

        def watch_job(event: Any) -> None:
            self._jobs[number].update(event.as_json())
            watch(event)

        try:
            done = await fetch(
                Wish(reference=ref, manifest=resolved.manifest, destination=Path(into), force=force),
                search=self._search(resolved, given),
                means=Means(parts.dialler, parts.store, parts.workers, parts.key.peer_id),
                watch=watch_job,
            )
        finally:
            del self._jobs[number]
        if not serve:
            parts.shelf.unserved.add(resolved.manifest)
        self._shelf_changed(resolved.manifest)
        return done.as_json()

    def _search(self, resolved: Resolved, given: Sequence[PeerAddress]) -> Search:
        known = dict.fromkeys((*(Candidate(address, "direct") for address in given), *resolved.known))
        return Search(tuple(known), self._parts.open_finder)

    # --- looking ---------------------------------------------------------------------------------------------------

    async def info(self, watch: Watch, *, ref: str, providers: Sequence[str]) -> JsonObject:
        parts = self._parts
        resolved = await parts.resolver.resolve(ref, tuple(parse_peer_address(provider) for provider in providers))
        holding = next((item for item in parts.store.holdings() if item.manifest == resolved.manifest), None)
        manifest = self._manifest(resolved.manifest)
        return {
            "reference": ref,
            "manifest": resolved.manifest.text(Codec.MSGPACK),
            "release": _release_json(resolved.release) if resolved.release is not None else None,
            "held": None if holding is None else {"folder": str(holding.folder), "complete": holding.complete},
            "files": None
            if manifest is None
            else [
                {"path": entry.path, "size": entry.size, "sha256": entry.sha256.hex(), "chunks": entry.chunks}
                for entry in manifest.files
            ],
        }

    async def ls(self, watch: Watch) -> JsonObject:
        parts = self._parts
        names: dict[Digest, list[str]] = {}
        for publisher, name, tag, accepted in parts.ledger.all_accepted():
            manifest = read_release(accepted.signed).manifest
            names.setdefault(manifest, []).append(parts.resolver.spell(publisher, name, tag))
        published: dict[Digest, bool] = {}  # By manifest: whether privately.
        for item in parts.ledger.publications():
            spelt = parts.resolver.spell(item.publisher, item.name, item.tag)
            names.setdefault(item.manifest, []).append(spelt)
            published[item.manifest] = item.private and published.get(item.manifest, True)
        return {
            "items": [
                {
                    "manifest": holding.manifest.text(Codec.MSGPACK),
                    "references": sorted(set(names.get(holding.manifest, []))),
                    "folder": str(holding.folder),
                    "files": holding.files,
                    "bytes": holding.bytes_total,
                    "complete": holding.complete,
                    "published": holding.manifest in published,
                    "private": published.get(holding.manifest, False),
                    "announced_to": self._announcer.holders(holding.manifest) if self._announcer else None,
                }
                for holding in parts.store.holdings()
            ]
        }

    async def log(self, watch: Watch, *, ref: str) -> JsonObject:
        parts = self._parts
        publisher, name, tag = parts.resolver.name_of(ref)
        releases = {signed: read_release(signed) for signed in parts.ledger.history(publisher, name, tag)}
        if not releases:
            resolved = await parts.resolver.resolve(ref, ())
            if resolved.release is not None:
                releases[resolved.signed] = resolved.release
        newest_first = sorted(releases.values(), key=lambda release: release.sequence, reverse=True)
        return {"items": [_release_json(release) for release in newest_first]}

    async def verify(self, watch: Watch, *, ref: str) -> JsonObject:
        parts = self._parts
        holding = self._holding(ref)
        manifest, plan = self._manifest(holding.manifest), parts.store.read_plan(holding.manifest)
        if manifest is None or plan is None:
            raise NotFound(f"{ref} is not held whole", hint="fetch it again")
        read = 0

        def advanced(count: int) -> None:
            nonlocal read
            read += count

        async def tell() -> None:
            while True:
                await trio.sleep(0.25)
                watch(PublishProgress(bytes_hashed=read, bytes_total=holding.bytes_total, files=holding.files))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            damages = await verify(manifest, plan, workers=parts.workers, advanced=advanced)
            nursery.cancel_scope.cancel()
        return {
            "manifest": holding.manifest.text(Codec.MSGPACK),
            "folder": str(holding.folder),
            "files": holding.files,
            "bytes": holding.bytes_total,
            "damaged": [
                {"path": damage.path, "chunks": list(damage.chunks), "reason": damage.reason} for damage in damages
            ],
        }

    async def peers(self, watch: Watch) -> JsonObject:
        return {"items": self._parts.known_peers()}

    async def status(self, watch: Watch) -> JsonObject:
        parts = self._parts
        return {
            "daemon": self._announcer is not None,
            "home": str(parts.config.home),
            "peer_id": str(parts.key.peer_id),
            "publisher_id": str(parts.publisher.peer_id),
            "addresses": [str(address) for address in parts.addresses()],
            "seconds": round(time.time() - self._began, 1),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "jobs": list(self._jobs.values()),
            "served": {str(manifest): count for manifest, count in parts.shelf.bytes_sent.items()},
        }

    async def doctor(self, watch: Watch) -> JsonObject:
        parts = self._parts
        items = [finding("keys", True, f"publisher {parts.publisher.peer_id}, node {parts.key.peer_id}")]
        items += await parts.workers.run(lambda: examine_home(parts.config.home))
        mended = await parts.workers.run(parts.store.check)
        items.append(finding("index", True, "; ".join(mended) or "sound"))
        addresses = parts.addresses()
        port = addresses[0].address.port if addresses else None
        peers = parts.contacts()
        items += await examine_reach(parts.dialler, peers, port=port, daemon=self._announcer is not None)
        return {"items": items}

    # --- names and keys --------------------------------------------------------------------------------------------

    async def names(self, watch: Watch) -> JsonObject:
        return {"names": self._parts.ledger.names()}

    async def name_add(self, watch: Watch, *, alias: str, target: str) -> JsonObject:
        self._parts.resolver.check_name(alias, target)
        self._parts.ledger.name(alias, target)
        return {}

    async def name_remove(self, watch: Watch, *, alias: str) -> JsonObject:
        if alias not in self._parts.ledger.names():
            raise NotFound(f"there is no name {alias!r}", hint="`p2phub name list` shows them")
        self._parts.ledger.name(alias, None)
        return {}

    async def init(self, watch: Watch) -> JsonObject:
        parts = self._parts
        return {
            "home": str(parts.config.home),
            "publisher_id": str(parts.publisher.peer_id),
            "peer_id": str(parts.key.peer_id),
        }

    async def key_export(self, watch: Watch) -> JsonObject:
        return {"pem": export_publisher_key(self._parts.config.home).decode("ascii")}

    async def key_import(self, watch: Watch, *, pem: str) -> JsonObject:
        key = import_publisher_key(self._parts.config.home, pem.encode())
        return {"publisher_id": str(key.peer_id)}

    # --- shared ----------------------------------------------------------------------------------------------------

    def _holding(self, ref: str) -> Holding:
        """Return the holding that `ref`, a reference or a folder, means. Raises NotFound."""
        holdings = self._parts.store.holdings()
        folder = Path(ref).absolute()
        for holding in holdings:
            if holding.folder == folder:
                return holding
        manifest = self._parts.resolver.local(ref)
        for holding in holdings:
            if holding.manifest == manifest:
                return holding
        raise NotFound(f"{ref} is not held here", hint="`p2phub ls` shows what is")

    def _manifest(self, digest: Digest) -> Manifest | None:
        root = self._parts.store.blob(digest)
        return None if root is None else decode_manifest(root, self._parts.store.blob)


VERBS = frozenset(
    {"publish", "survey", "unpublish", "remove", "fetch"}
    | {"info", "ls", "log", "verify", "peers", "status", "doctor"}
    | {"names", "name_add", "name_remove", "init", "key_export", "key_import"}
)


def _release_json(release: Release) -> JsonObject:
    return {
        "publisher": str(release.publisher),
        "name": release.name,
        "tag": release.tag,
        "sequence": release.sequence,
        "manifest": release.manifest.text(Codec.MSGPACK),
        "previous": release.previous.text(Codec.MSGPACK) if release.previous is not None else None,
        "kind": release.kind,
        "bytes": release.bytes_total,
        "created": release.created,
        "expires": release.expires,
        "licence": release.licence,
        "description": release.description,
    }

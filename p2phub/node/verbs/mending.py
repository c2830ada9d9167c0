"""Put damaged files right: what of them is right is copied, and only the rest is fetched, as in any other fetch.

Only what was fetched by us is mended. A published or adopted file is the user's, or another program's: it is read and
never written, and the user is told what they can do. The files are replaced by rename once they are whole, never
written in place: who has one open, reads on in the old one.

Of what was fetched no file is mended that was left out of a selection, nor one that stood there before as part of
something published or adopted (`store/whose`): what is at their places is the user's, or nothing.

What stands there damaged was allowed when it came, so it is not asked again whether it may run code when it is loaded.
Of what does not stand there any more nobody can tell. That is as for any fetch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from p2phub.content import Codec, Digest, RangeSet
from p2phub.engine import fetch as engine
from p2phub.engine.resolve import Resolved
from p2phub.errors import DiskError
from p2phub.identity import PeerAddress
from p2phub.manifest import Manifest, named_manifest, read_release
from p2phub.node.capping import JobCaps
from p2phub.node.compose import Parts, is_unfinished_in
from p2phub.node.rates import Rates
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.fetching import Openness, carry_out, is_public, is_unsafe_allowed, search_for
from p2phub.observe import Watch, some_of
from p2phub.store import Holding, Origin

_NOT_OURS = {
    Origin.PUBLISHED: (
        "published",
        "restore the files from where you have them, or publish the folder again if the change is yours",
    ),
    Origin.ADOPTED: (
        "adopted from another program's folder",
        "have that program fetch it again, or fetch it into a folder of your own: p2phub fetch REF --into DIR",
    ),
    Origin.SHARED: (
        "found in a place that somebody else shares",
        "tell them, or fetch it into a folder of your own: p2phub fetch REF --into DIR",
    ),
}
_NOT_OURS_THERE = (
    "published, or adopted from another program, with files of what was fetched there",
    "restore them from where you have them; or have them replaced by the same fetch with --force",
)
_NOTHING: JsonObject = {"repaired": [], "bytes_received": 0, "sources": []}


async def mend(
    node: Running,
    watch: Watch,
    holding: Holding,
    manifest: Manifest,
    files: RangeSet,
    damaged: Sequence[str],
    *,
    given: Sequence[PeerAddress],
    mirrors: Sequence[str],
    allow_unsafe: bool | None,
) -> JsonObject:
    """Replace the `damaged` files (paths) of a holding by what was signed, and tell what that took. `files`: which of
    the manifest are recorded there, by number: no other is touched. `allow_unsafe`: for what does not stand there at
    all. Raises HubError, of it Unsafe; DiskError, once the others are mended, for those that are not ours.

    If none is damaged, but an earlier repair was ended after it had replaced the last and before it had recorded that,
    it is brought to its end: else what it mended would stay in doubt, and what it made beside the files would stay
    there.
    """
    parts = node.parts
    if holding.origin in _NOT_OURS:
        if damaged:
            raise _not_ours(holding.folder, damaged, *_NOT_OURS[holding.origin])
        return _NOTHING
    read_only = await parts.workers.run(lambda: parts.store.read_only(holding.manifest, holding.folder))
    theirs = {manifest.files[number].path for number in read_only}
    kept = [path for path in damaged if path in theirs]
    ours = [path for path in damaged if path not in theirs]
    files -= read_only
    told = _NOTHING
    if ours or (files and not kept and await parts.workers.run(lambda: _is_begun(holding))):
        told = await _fetch_over(
            node, watch, holding, files, ours, given=given, mirrors=mirrors, allow_unsafe=allow_unsafe
        )
    if kept:
        raise _not_ours(holding.folder, kept, *_NOT_OURS_THERE)
    return told


async def _fetch_over(
    node: Running,
    watch: Watch,
    holding: Holding,
    files: RangeSet,
    damaged: Sequence[str],
    *,
    given: Sequence[PeerAddress],
    mirrors: Sequence[str],
    allow_unsafe: bool | None,
) -> JsonObject:
    """Fetch `files` (by number) over themselves: those that are right are kept."""
    parts = node.parts
    resolved = await parts.workers.run(lambda: _known_as(parts, holding.manifest))
    all_stand = await parts.workers.run(lambda: _all_stand(holding.folder, damaged))
    wish = engine.Wish(
        reference=holding.manifest.text(Codec.MSGPACK),
        manifest=holding.manifest,
        destination=holding.folder,
        force=True,
        wait_s=parts.config.wait,
        mend=files,
        allow_unsafe=all_stand or is_unsafe_allowed(parts, allow_unsafe),
    )
    openness = Openness(is_public(resolved), serve=False, exchange=True)  # Who may have it stays as it was.
    search = search_for(node, resolved, given, mirrors, kin=True)
    done = await carry_out(node, watch, wish, search, openness, caps=JobCaps(holding.manifest, Rates(), False))
    node.shelf_changed(holding.manifest)
    return {
        "repaired": list(damaged),
        "bytes_received": done.bytes_received,
        "sources": [{"peer_id": source.peer_id, "bytes": source.bytes} for source in done.sources],
    }


def _not_ours(folder: Path, damaged: Sequence[str], whose: str, hint: str) -> DiskError:
    return DiskError(f"{folder} was {whose}, so it is only read: not repaired are {some_of(damaged)}", hint=hint)


def _all_stand(folder: Path, paths: Sequence[str]) -> bool:
    """Whether something stands at each of these places, be it right or wrong. Blocks."""
    return all(os.path.lexists(folder / path) for path in paths)


def _is_begun(holding: Holding) -> bool:
    """Return whether something of ours that did not end lies beside the files. Blocks."""
    return is_unfinished_in(holding.folder, holding.manifest)


def _known_as(parts: Parts, manifest: Digest) -> Resolved:
    """Return the manifest with a release that leads to it, if one is known here: by it, it is known to be public, and
    mirrors are found. Blocks."""
    for item in parts.ledger.publications():
        if item.manifest == manifest:
            return Resolved(manifest, read_release(item.signed), item.signed)
    for _, _, _, accepted in parts.ledger.all_accepted():
        if named_manifest(accepted.signed) == manifest:
            return Resolved(manifest, read_release(accepted.signed), accepted.signed)
    return Resolved(manifest)

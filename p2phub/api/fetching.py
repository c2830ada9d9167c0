"""The hub's verbs that bring content here: `fetch` into a folder, `open_tensors` into memory as it comes.

How it is done is `engine/fetch`, a part of a manifest `engine/choosing`, the tensors `api/tensors`; here are their
types, and what goes to whoever carries them out: of what is newer than the protocol only what the caller said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2phub.api.selecting import selection
from p2phub.api.verbs import HubPart, absolute, as_ref, as_wait, bare_errors, done, if_said, several, unwatched
from p2phub.content import Codec
from p2phub.manifest import parse_reference
from p2phub.node import parse_cap
from p2phub.observe import Done, Watch

if TYPE_CHECKING:
    from p2phub.api.tensors import OpenTensors


class FetchingVerbs(HubPart):
    """What brings content here."""

    async def fetch(
        self,
        ref: str,
        *,
        into: str | Path | None = None,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        force: bool = False,
        serve: bool = True,
        exchange: bool = True,
        up: str | int | None = None,
        down: str | int | None = None,
        background: bool = False,
        first: Sequence[str] = (),
        in_order: bool = False,
        wait: str | float | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        tensors: Sequence[str] = (),
        columns: Sequence[str] = (),
        row_groups: Sequence[str | int] = (),
        allow_unsafe: bool | None = None,
        link: bool = False,
        watch: Watch = unwatched,
    ) -> Done:
        """Fetch `ref`, or a part of it, into a folder and return once every byte is verified, durable and in place.

        Returns Done: the folder's path, bytes received and bytes reused from this disk, seconds, seconds to the first
        byte, and how many bytes each peer gave. `ref`: PUBLISHER/name[@tag], a name of the user's own, a manifest
        digest, or a ticket. `into`: by default a folder named after the reference, in the working directory.
        `providers`: multiaddrs that end in /p2p/PEER, asked before anybody else. `mirrors`: URLs of web servers below
        which the files stand, as sources beside them, or alone; {publisher}, {name}, {tag} and {manifest} in one are
        filled in. `force` replaces files that differ.
        `serve`: give to others what is verified while the fetch runs, and afterwards for as long as the hub is open, or
        this home's daemon runs; what is private, or may be, stays here. `exchange`: let peers of the swarm name one
        another, and us. `up`, `down`: caps of this fetch in bytes/s (20_000_000, "20MB", "20MiB"), beside those of the
        node; `background`: it gets what the node's other fetches leave. `first`: gitignore patterns of files to fetch
        before all others, in this order; `in_order`: the rest from front to back, for whoever reads it meanwhile; then
        `watch` is told of FilesReady for each of these as it is whole and at its place, and of Unmatched for a pattern
        that no file matches. It is always told of Listening, Started, Source, SourceLacks, Progress, PeerDropped,
        Waiting, and at the end of FilesLeft where an earlier version left some in `into`. `wait`: for how long to wait
        while nobody is there who has what is missing, each time and from the beginning on, in seconds or as a text
        ("30s", "10m", "24h", "forever"; 0: not at all); None: as the settings say, else a minute for those who were
        there and may be back. `allow_unsafe`: whether files that may run code when they are loaded (pickles and the
        like, told by what they hold) are put in place, too; None: as the settings say, else not. `link`: files that
        this home holds in a folder of the user's, or in its own store, are not copied but get a further name in `into`
        (a hard link), where that can be: it takes no room, and who edits such a file by one name changes it under the
        other. Interrupted or failed, the same call resumes.

        `include`, `exclude`: gitignore patterns of files, with at most two stars; no others, or not these, are fetched.
        `tensors`: shell patterns over names of tensors ("*layers.0.*") in safetensors and GGUF files, in those that
        `include` names if it names any: of these files just that is fetched, and lands, with all shards of a model
        together, in a valid file `NAME.selected.safetensors` or `.gguf`; other files only if `include` names them.
        `columns` (shell patterns; of nested ones their whole path, or its beginning) and `row_groups` (numbers from 0,
        or "0-3" with both ends) are the same for Parquet files, each of which gives a `NAME.selected.parquet`.
        `watch` is told of Unmatched for a pattern that matches nothing; if nothing at all is selected it is UsageError.

        Raises UsageError, Malformed for a damaged ticket, NotFound if nobody knows the name or manifest, NotTrusted for
        a release that is forged, expired or rolled back, Unsafe for files that may run code and are not allowed to
        (what came is kept: the same call that allows them goes on from there), NoProvider if none that can be reached
        has what is missing, Damaged or ChunkMismatch if all that came was wrong, DiskError, of it DiskFull and Occupied
        (the folder holds other files).
        """
        result = await self._verbs.call(
            "fetch",
            {
                "ref": as_ref(ref),
                "into": absolute(default_folder(ref) if into is None else into),
                "providers": several(providers),
                "mirrors": several(mirrors),
                "force": force,
                "serve": serve,
                "exchange": exchange,
                "up": self._up if up is None else parse_cap(up),
                "down": self._down if down is None else parse_cap(down),
                "background": background,
                "first": list(first),
                "in_order": in_order,
                **if_said(wait=as_wait(wait), allow_unsafe=allow_unsafe, link=link or None),
                **selection(include, exclude, tensors, columns, row_groups),
            },
            watch,
        )
        return done(result)

    def open_tensors(
        self,
        ref: str,
        names: str | Sequence[str] | None = None,
        *,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        framework: str = "numpy",
        wait: str | float | None = None,
        watch: Watch = unwatched,
    ) -> OpenTensors:
        """Return an async iterator over the tensors of `ref`: (name, array), each as soon as its bytes are verified,
        while the rest still arrives: `async for name, array in hub.open_tensors(ref)`.

        `names`: shell patterns of names ("*layers.0.*") in safetensors and GGUF files, in the order in which they are
        wanted; None: all, as they stand. Shards of a model are one model; a name that several models of `ref` have
        comes of each. `framework`: "numpy" (of BF16 the bits, as uint16) or "torch". Quantised tensors of GGUF files
        come with both as their blocks: uint8, the last dimension a row's blocks in bytes, as the `gguf` package has
        them. What is held whole by this home is mapped from where it stands; what is not is fetched into the home, read
        into memory, and removed when all was read, so to keep it, `fetch` it first. To stop before the end use it as an
        async context manager, or `aclose` it.
        `providers`, `mirrors`, `wait` (seconds, or a text) and `watch` are as for `fetch`. Raises UsageError for a
        framework that is not installed; the iteration raises what `fetch` does, after the tensors that came before.
        """
        from p2phub.api.arrays import need
        from p2phub.api.tensors import OpenTensors

        need(framework)
        wanted = ["*"] if names is None else [names] if isinstance(names, str) else list(names)
        args = {
            "ref": as_ref(ref),
            "names": wanted,
            "providers": several(providers),
            "mirrors": several(mirrors),
            "up": self._up,
            "down": self._down,
            "wait": as_wait(wait),
        }

        async def call(watch: Watch) -> None:
            with bare_errors():
                await self._verbs.call("open_tensors", args, watch)

        async def remove(folder: str) -> None:
            await self._verbs.call("close_tensors", {"folder": folder}, unwatched)

        assert self._nursery is not None, "only an open hub has tensors"
        return OpenTensors(self._nursery, call, remove, framework, watch)


def default_folder(ref: str) -> str:
    """Return the name of the folder that `ref` is fetched into where none is given: the repository's, else the digest's
    beginning. Raises UsageError, Malformed."""
    reference = parse_reference(ref)
    if reference.name is not None:
        return reference.name
    release = reference.ticket.publisher_release() if reference.ticket is not None else None
    if release is not None:
        return release.name
    digest = reference.digest  # Of a ticket, too: its own letters would all begin alike.
    assert digest is not None, "without a name it is a digest, or a ticket, which has one"
    return digest.text(Codec.MSGPACK)[:16]

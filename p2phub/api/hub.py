"""The hub: every verb of p2phub as an async method, with types.

`open_hub` gives the same hub whether a daemon runs for this home or not: with one, verbs are carried out by it, over
its local socket; without, by this process for as long as the hub is open. Events of a verb go to `watch`, in order.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import trio

from p2phub.api.reading import Opens
from p2phub.content import Codec
from p2phub.errors import UsageError
from p2phub.manifest import parse_reference
from p2phub.node import Config, daemon_running, load_config, open_node, parse_cap, parse_duration, remote_verbs
from p2phub.observe import Done, Event, Published, SourceBytes

if TYPE_CHECKING:
    from p2phub.api.tensors import OpenTensors

_log = logging.getLogger(__name__)

JsonObject = dict[str, Any]
Watch = Callable[[Event], None]


def unwatched(event: Event) -> None:
    """Watch nothing."""


class Verbs(Protocol):
    """Who carries out a verb: this process's node, or the daemon's control socket."""

    async def call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        """Return what the verb gives, as JSON has it; tell `watch` of its events meanwhile. Raises HubError."""


class Hub(Opens):
    """The verbs, as async methods for trio. Get one from `open_hub`.

    In what they return sizes are bytes and times seconds, points in time seconds since 1970 (unix). Beside what each
    says it raises, a verb may raise HubError itself if the daemon that carries it out goes away meanwhile.
    """

    def __init__(
        self,
        verbs: Verbs,
        config: Config,
        *,
        transient: bool = False,
        up: int | None = None,
        down: int | None = None,
        nursery: trio.Nursery | None = None,
    ) -> None:
        self._verbs = verbs
        self._nursery = nursery  # Of what goes on between two calls.
        self._config = config
        self._transient = transient
        self._up, self._down = up, down  # Caps of each fetch, in bytes/s, where it is given none of its own.

    @property
    def transient(self) -> bool:
        """Whether this process does the work, and serves for as long as the hub is open; else a daemon does."""
        return self._transient

    @property
    def allow_unsafe(self) -> bool:
        """Whether the settings allow files that may run code when they are loaded, where a call does not say."""
        return self._config.allow_unsafe

    async def publish(
        self,
        folder: str | Path,
        *,
        name: str,
        tag: str = "main",
        kind: str = "model",
        description: str = "",
        licence: str = "",
        private: bool = False,
        allow: Sequence[str] = (),
        ignore: Sequence[str] = (),
        include: Sequence[str] = (),
        mirror_files: str | Path | None = None,
        watch: Watch = unwatched,
    ) -> Published:
        """Hash `folder` in place, sign it as `name`, record it; a running daemon announces it.

        Returns Published: reference, manifest digest and ticket as text, how many files and bytes, how many of the
        bytes had to be read, whether a peer of the network took the announcement, seconds, and remarks ({"path",
        "what"}) on files that are not what they are called or may run code when they are loaded. Files are only read.
        `name` and `tag`: lower-case letters, digits and `._-`; `kind`: one of `KINDS`. `private`: never announced; with
        `allow` (peer ids) only those nodes may fetch it, else whoever has the ticket. `ignore` and `include` are
        gitignore patterns beside the built-in rule. `mirror_files`: a folder in which to write what makes a web server
        that serves it, with the published files in it, a mirror (proto/mirror.md). `watch` is told of PublishProgress.
        Raises UsageError for what may not be published (an empty folder, links that leave it, what looks like a secret)
        and for a name that is none, ContentChanged for a file that changes while it is read, DiskError.
        """
        result = await self._verbs.call(
            "publish",
            {
                "folder": _absolute(folder),
                "name": name,
                "tag": tag,
                "kind": kind,
                "description": description,
                "licence": licence,
                "private": private,
                "allow": list(allow),
                "ignore": list(ignore),
                "include": list(include),
                "mirror_files": None if mirror_files is None else _absolute(mirror_files),
            },
            watch,
        )
        return Published(**_fields(result))

    async def survey(
        self, folder: str | Path, *, ignore: Sequence[str] = (), include: Sequence[str] = ()
    ) -> JsonObject:
        """Return what `publish` would take: {"files": [{"path", "size"}], "left_out": [{"path", "why"}], "refused",
        "refused_because", "bytes"}.

        Sizes are bytes. "refused" is [{"path", "why"}] of what `publish` refuses (secrets, also in "files", and
        links that leave the folder); "refused_because" is what it would say, or None if it would publish. Nothing is
        hashed or recorded. Raises UsageError if `folder` is none, DiskError.
        """
        return await self._verbs.call(
            "survey",
            {"folder": _absolute(folder), "ignore": list(ignore), "include": list(include)},
            unwatched,
        )

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
        that no file matches. It is always told of Listening, Started, Source, SourceLacks, Progress, PeerDropped and
        Waiting. `wait`: for how long to wait while nobody is there who has what is missing, each time and from the
        beginning on, in seconds or as a text ("30s", "10m", "24h", "forever"; 0: not at all); None: as the settings
        say, else a minute for those who were there and may be back. `allow_unsafe`: whether files that may run code
        when they are loaded (pickles and the like, told by what they hold) are put in place, too; None: as the settings
        say, else not. Interrupted or failed, the same call resumes.

        `include`, `exclude`: gitignore patterns of files, with at most two stars; no others, or not these, are fetched.
        `tensors`: shell patterns over names of tensors ("layers.0.*") in safetensors files, in those that `include`
        names if it names any: of these files just that is fetched, and lands, with all shards of a model together, in
        a valid safetensors file `NAME.selected.safetensors`; other files are fetched only if `include` names them.
        `columns` (shell patterns; of nested ones their whole path, or its beginning) and `row_groups` (numbers from 0,
        or "0-3" with both ends) are the same for Parquet files, each of which gives a `NAME.selected.parquet`.
        `watch` is told of Unmatched for a pattern that matches nothing; if nothing at all is selected it is UsageError.

        Raises UsageError, Malformed for a damaged ticket, NotFound if nobody knows the name or manifest, NotTrusted for
        a release that is forged, expired or rolled back, Unsafe for files that may run code and are not allowed to
        (what came is kept: the same call that allows them goes on from there), NoProvider if none that can be reached
        has what is missing, Damaged or ChunkMismatch if all that came was wrong, DiskError, of it DiskFull and Occupied
        (the folder holds other files).
        """
        said: JsonObject = {} if wait is None else {"wait": as_text(parse_duration(wait))}
        said |= _unsafe_if_said(allow_unsafe)
        parts = {
            "include": list(include),
            "exclude": list(exclude),
            "tensors": list(tensors),
            "columns": list(columns),
            "row_groups": [str(each) for each in row_groups],
        }
        destination = into if into is not None else default_folder(ref)
        result = await self._verbs.call(
            "fetch",
            {
                "ref": ref,
                "into": _absolute(destination),
                "providers": list(providers),
                "mirrors": list(mirrors),
                "force": force,
                "serve": serve,
                "exchange": exchange,
                "up": self._up if up is None else parse_cap(up),
                "down": self._down if down is None else parse_cap(down),
                "background": background,
                "first": list(first),
                "in_order": in_order,
                **said,  # Only what is asked for: a daemon of an older version does not know it,
                **{name: given for name, given in parts.items() if given},  # nor these.
            },
            watch,
        )
        return _done(result)

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

        `names`: shell patterns of names ("layers.0.*") in safetensors files, in the order in which they are wanted;
        None: all, as they stand. Shards of a model are one model; a name that several models of `ref` have comes of
        each. `framework`: "numpy" (of BF16 the bits, as uint16) or "torch". What is held whole by this home is mapped
        from where it stands; what is not is fetched into the home, read into memory, and removed when all was read, so
        to keep it, `fetch` it first. To stop before the end use it as an async context manager, or `aclose` it.
        `providers`, `mirrors`, `wait` (seconds, or a text) and `watch` are as for `fetch`. Raises UsageError for a
        framework that is not installed; the iteration raises what `fetch` does, after the tensors that came before.
        """
        from p2phub.api.arrays import need
        from p2phub.api.tensors import OpenTensors

        need(framework)
        wanted = ["*"] if names is None else [names] if isinstance(names, str) else list(names)
        args = {
            "ref": ref,
            "names": wanted,
            "providers": list(providers),
            "mirrors": list(mirrors),
            "up": self._up,
            "down": self._down,
            "wait": None if wait is None else as_text(parse_duration(wait)),
        }

        async def call(watch: Watch) -> None:
            with bare_errors():
                await self._verbs.call("open_tensors", args, watch)

        async def remove(folder: str) -> None:
            await self._verbs.call("close_tensors", {"folder": folder}, unwatched)

        assert self._nursery is not None, "only an open hub has tensors"
        return OpenTensors(self._nursery, call, remove, framework, watch)

    async def give(
        self,
        ref: str,
        to: str,
        *,
        name: str | None = None,
        branch: str = "main",
        place: str | Path | None = None,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        serve: bool = True,
        exchange: bool = True,
        background: bool = False,
        wait: str | float | None = None,
        allow_unsafe: bool | None = None,
        watch: Watch = unwatched,
    ) -> Done:
        """Have another program find `ref` as if it had got it itself, and return where: in a Hugging Face cache (`to`
        "hf-cache"), so that `from_pretrained` loads it offline, or in Ollama's store ("ollama").

        What is not held whole is fetched first, into the home's own store. `name`: what to call it there, ORG/NAME,
        for Ollama HOST/NAMESPACE/MODEL:TAG; None: as it is called here. `branch`: which branch is to lead to it.
        `place`: the cache or store, by default where that program keeps it. No snapshot is ever seen in part, nothing
        that stands there is replaced but the branch. The rest as for `fetch`, `wait` in seconds or as a text; Done's
        path is the snapshot, or Ollama's manifest, sizes are bytes. Raises UsageError, Malformed, NotFound, NotTrusted,
        Unsafe, NoProvider, Damaged, ChunkMismatch, DiskError, of it DiskFull, and Occupied for what stands there under
        that name and is something else.
        """
        where = place if place is not None else await trio.to_thread.run_sync(_place_of, to)
        result = await self._verbs.call(
            "give",
            {
                "ref": ref,
                "to": to,
                "place": _absolute(where),
                "name": name,
                "branch": branch,
                "providers": list(providers),
                "mirrors": list(mirrors),
                "serve": serve,
                "exchange": exchange,
                "up": self._up,
                "down": self._down,
                "background": background,
                **({} if wait is None else {"wait": as_text(parse_duration(wait))}),
                **_unsafe_if_said(allow_unsafe),
            },
            watch,
        )
        return _done(result)

    async def plan(self, ref: str, *, providers: Sequence[str] = ()) -> JsonObject:
        """Return what a fetch of `ref` would do, before a byte of content moves: {"reference", "manifest", "bytes",
        "bytes_here", "bytes_missing", "files", "here", "providers"}.

        "bytes_here" are on this disk already, in whatever file: they are copied and not fetched. "files" is [{"path",
        "bytes", "bytes_here"}], "here" [{"path" (of a file of this disk), "bytes"}], the most first, "providers"
        [{"peer_id", "address", "via"}] who is known or said to have it. What describes the manifest is fetched.
        `providers` (multiaddrs with /p2p/PEER) are asked first. Raises UsageError, Malformed, NotFound, NotTrusted,
        NoProvider, Damaged, DiskError.
        """
        return await self._verbs.call("plan", {"ref": ref, "providers": list(providers)}, unwatched)

    async def adopt(
        self,
        *caches: str | Path,
        announce: Sequence[str] = (),
        watch: Watch = unwatched,
    ) -> JsonObject:
        """Hold what other programs have on this disk, where it stands: nothing is copied, moved or changed.

        `caches`: "hf", "ollama", "llamacpp", "lmstudio", or folders (a cache, or one with a model's files); all that
        are where they usually are, if none is named. What is found is hashed once. A repository that is whole gets the
        manifest that everybody gets who adopts it, of others each file of 1 MiB and more is held alone. Nothing of it
        is announced or served to others, now or after a later look, but what `announce` names: the names of
        repositories, or "all". `watch` is told of Found, PublishProgress and, of each model, Adopted. Returns
        {"models", "complete" (how many of them are whole), "bytes", "bytes_hashed", "gone" (manifests of what had been
        adopted there and is there no more), "problems" ([{"path", "why"}]), "seconds"}. Stopped, the same call goes on.
        Raises UsageError for a folder that is not there, or a name that was not found, DiskError.
        """
        places = await trio.to_thread.run_sync(_places_of_caches, caches)
        return await self._verbs.call("adopt", {"places": places, "announce": list(announce)}, watch)

    async def unpublish(self, ref: str) -> JsonObject:
        """Stop announcing and serving a name of ours; its files stay.

        What `publish` wrote into the same folder for a mirror is removed. Returns {"reference", "manifest", "folder",
        "mirror_files_removed": where they stood, or None}. Raises NotFound if nothing is published here by that name,
        UsageError, DiskError.
        """
        return await self._verbs.call("unpublish", {"ref": ref}, unwatched)

    async def remove(self, ref: str) -> JsonObject:
        """Forget what is held; its files stay. `ref`: a reference, for every folder that holds it, or one folder.

        A name that was published from a folder that is forgotten is not published any more. Returns {"manifest",
        "folder", "folders": [all that were forgotten, the first of them "folder"], "own": [those in the home's own
        store, which the next `gc` removes], "mirror_files_removed": [where a mirror's were]}. Raises NotFound if it is
        not held here, UsageError, DiskError.
        """
        return await self._verbs.call("remove", {"ref": ref, "folder": _as_folder(ref)}, unwatched)

    async def info(self, ref: str, *, providers: Sequence[str] = (), tensors: bool = False) -> JsonObject:
        """Return what is known of `ref`: {"reference", "manifest", "release", "contradiction", "held", "files",
        "files_unknown_because", "tensors", "tensors_unknown_because"}.

        "release" is as in `log`, or None where no publisher's word led here; "contradiction" is {"publisher",
        "sequence", "manifests": [two]} where the publisher signed two different releases with one sequence, else None;
        "held" is {"folder", "complete", "origin" ("published", "fetched", "adopted" or "own"), "source" (of what
        was adopted {"cache", "name", "revision" (the hub's commit, to compare sizes and digests with it)}, else None)}
        or None;
        "files" is [{"path", "size" (bytes), "sha256" (hex), "git_sha1" (hex, of small files, else None), "chunks"}],
        None where nobody tells what is in the manifest. With `tensors`, "tensors" is [{"path", "name", "dtype",
        "shape", "bytes", "start" (byte of the file)}] of safetensors and GGUF files, and the columns of each row group
        of Parquet files; None unless asked for, or where nobody has them. No file is fetched for it. Looks the name up
        in the network; `providers` (multiaddrs with /p2p/PEER) are asked first. Raises UsageError, Malformed, NotFound,
        NotTrusted, DiskError.
        """
        args = {"ref": ref, "providers": list(providers), "tensors": tensors}
        return await self._verbs.call("info", args, unwatched)

    async def diff(self, before: str, after: str, *, providers: Sequence[str] = ()) -> JsonObject:
        """Return how two manifests differ, without fetching either: {"before", "after", "files", "files_same",
        "tensors", "tensors_same", "tensors_unknown_because", "bytes_new", "bytes_after"}.

        `before` and `after` are references, manifest digests or tickets. "files" is [{"change", "path", "was" (where
        it stood, if it moved), "bytes_before", "bytes_after"}], "tensors" [{"change", "name", "path", "before",
        "after"}] with {"dtype", "shape", "bytes"} each, or None where nobody has them. A change is "added", "removed",
        "changed", "moved", or "maybe changed": a small tensor that shares a chunk with what changed. "bytes_new" are
        what whoever holds the first lacks of the second. Raises UsageError, Malformed, NotFound, NotTrusted,
        NoProvider, Damaged, DiskError.
        """
        args = {"before": before, "after": after, "providers": list(providers)}
        return await self._verbs.call("diff", args, unwatched)

    async def ls(self) -> list[JsonObject]:
        """Return what this home holds and publishes, an object a manifest.

        Each is {"manifest", "references": [text], "folder", "files", "bytes", "complete", "published", "private",
        "origin", "pinned", "announced_to"}; "origin" is "published", "adopted", "fetched" (into a folder of the user's)
        or "own" (in the home's own store); "announced_to" is how many peers took the announcement, None without a
        daemon. Raises DiskError.
        """
        return _items(await self._verbs.call("ls", {}, unwatched))

    async def unfinished(self) -> list[JsonObject]:
        """Return the fetches of this home that began and did not end, the newest first; the same call goes on with one.

        Each is {"reference" (as it was given), "manifest", "folder", "bytes" (in all), "percent" (about, of them, that
        is here), "job" (its number, where the daemon has it under way, else None)}. Raises DiskError.
        """
        try:
            return _items(await self._verbs.call("unfinished", {}, unwatched))
        except UsageError:  # A daemon that was started by an older version does not know the verb.
            return []

    async def log(self, ref: str) -> list[JsonObject]:
        """Return the releases of a name that are known here, newest first; where none is, the network is asked.

        Each is {"publisher", "name", "tag", "sequence", "manifest", "previous", "kind", "bytes", "created", "expires",
        "licence", "description", "contradicted_by"}; "created" and "expires" are unix seconds; "contradicted_by" is the
        manifest of another release that the publisher signed with the same sequence, else None. Raises UsageError,
        NotFound, NotTrusted, DiskError.
        """
        return _items(await self._verbs.call("log", {"ref": ref}, unwatched))

    async def verify(
        self,
        ref: str,
        *,
        repair: bool = False,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        allow_unsafe: bool | None = None,
        watch: Watch = unwatched,
    ) -> JsonObject:
        """Read a held manifest (a reference, or the folder it stands in) back and compare every chunk.

        Returns {"manifest", "folder", "files", "bytes", "damaged": [{"path", "chunks", "reason"}], "origin"}, chunks by
        index within their file; "damaged" is empty if all is as it was signed, and damage is not raised. What is
        damaged is not served until it is right again. `watch` is told of PublishProgress. Raises NotFound if it is not
        held whole, UsageError, DiskError.

        With `repair`, what is damaged is replaced, if it was fetched by us: what of a file is right is copied, the rest
        fetched (`providers`, `mirrors` and `watch` as for `fetch`; `allow_unsafe`, too, where files are missing: what
        stands there damaged was allowed before). Then there are also "repaired": [paths], "bytes_received" and
        "sources". Raises what `fetch` raises, and DiskError if the files are not ours to replace: published, or adopted
        from another program.
        """
        args: JsonObject = {"ref": ref, "folder": _as_folder(ref)}
        if repair:  # Only where it is asked for: a daemon of an older version does not know it.
            args |= {"repair": True, "providers": list(providers), "mirrors": list(mirrors)}
            args |= _unsafe_if_said(allow_unsafe)
        return await self._verbs.call("verify", args, watch)

    async def pin(
        self,
        ref: str,
        *,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        serve: bool = True,
        wait: str | float | None = None,
        allow_unsafe: bool | None = None,
        watch: Watch = unwatched,
    ) -> JsonObject:
        """Keep `ref` from collection; what is not held whole is fetched into the home's own store.

        `ref` is a reference, manifest digest, ticket, or a folder that holds something; the other arguments are as for
        `fetch`. Room within the quota of the own store is made by letting go of what is not pinned there, of what was
        not used for longest first. Returns {"manifest", "folder", "fetched": None if it was here, else as Done has it}.
        Raises UsageError, Malformed, NotFound, NotTrusted, of it Unsafe, NoProvider, Damaged, ChunkMismatch, DiskError,
        as `fetch` does; of it DiskFull where the quota leaves no room. Failed, it leaves the pin and what came, and the
        same call goes on from there.
        """
        said: JsonObject = {} if wait is None else {"wait": as_text(parse_duration(wait))}
        said |= _unsafe_if_said(allow_unsafe)
        args = {"ref": ref, "folder": _as_folder(ref), "providers": list(providers), "mirrors": list(mirrors)}
        return await self._verbs.call("pin", {**args, "serve": serve, **said}, watch)

    async def unpin(self, ref: str) -> JsonObject:
        """Let a pinned manifest be collected again, if it lies in the own store; nothing is removed by this.

        Returns {"manifest"}. Raises NotFound if it is not pinned, UsageError, DiskError.
        """
        return await self._verbs.call("unpin", {"ref": ref, "folder": _as_folder(ref)}, unwatched)

    async def gc(self, *, dry_run: bool = False, unfinished: bool = False) -> JsonObject:
        """Remove what nothing keeps: what lies in the own store and is not pinned, metadata of what is not held any
        more, and what crashes left. Never what stands in a folder of the user's.

        With `dry_run` nothing is removed, and told is what would be. `unfinished`: also what fetches that did not end
        and do not run left beside their destination. Returns {"dry_run", "bytes": of the items, "items": [{"manifest",
        "references", "folder", "bytes", "used" (unix seconds or None), "others": how many others hold it, or None}],
        "leftovers": [{"folder", "bytes"}], "unfinished": [{"manifest", "references", "folder", "bytes"}], "blobs",
        "blob_bytes", "rows"}. Raises DiskError; what was removed by then is gone, and the rest can be read.
        """
        return await self._verbs.call("gc", {"dry_run": dry_run, "unfinished": unfinished}, unwatched)

    async def du(self) -> JsonObject:
        """Return what is held and what it takes, all in bytes.

        {"items": [{"manifest", "references", "folder", "origin", "pinned", "complete", "bytes", "bytes_once": in chunks
        that nothing else held here has, "bytes_same_content": in chunks held elsewhere, too (by digest),
        "bytes_same_file": in files that another holding has, too (by inode)}], "by_origin": {origin: bytes}, "bytes":
        of all, "bytes_files": each file counted once, "bytes_content": each chunk counted once, "quota": of the own
        store, or None, "blobs", "blob_bytes", "index_bytes", "log_bytes", "leftover_bytes": in the own store, named by
        nothing}. Raises DiskError.
        """
        return await self._verbs.call("du", {}, unwatched)

    async def peers(self) -> list[JsonObject]:
        """Return the peers this node knows: {"peer_id", "addresses": [multiaddr], "proven"} each. Raises DiskError."""
        return _items(await self._verbs.call("peers", {}, unwatched))

    async def status(self) -> JsonObject:
        """Return what the node is doing.

        {"daemon": whether it is one, "home", "peer_id", "publisher_id", "addresses": [multiaddr], "lan" (whether nodes
        of the local network are looked for), "seconds" (since it began), "tasks", "processes": [{"pid", "role" (node or
        bulk), "anonymous_bytes", "descriptors"}], "anonymous_bytes" and "descriptors" of them together, "up" and "down"
        (its caps in bytes/s, or None), "jobs": [the latest event of each fetch, with "job", "up", "down" and
        "background"], "served": {manifest: payload bytes sent}}. Raises DiskError.
        """
        return await self._verbs.call("status", {}, unwatched)

    async def explain(self, job: int) -> JsonObject:
        """Say why a running fetch of this home's daemon is as fast as it is; `job` is its number in `status`.

        Returns `bytes_verified`, `bytes_missing` (null before the manifest is known), `bytes_duplicate`, `bound`
        (metadata, providers, holders, cap, network, disk or hash), `because` in words, `waiting` (null, or where nobody
        who is there has what is missing: `reason` and `next` in words, `waited_s`, `again_s` until it looks again, and
        `left_s` until it gives up, null if never), and `sources`: for each provider its `state` in words, links, rates
        (bytes/s), what may be asked of it ahead (`window_bytes`), the shortest round trip seen (`trip_s`, or null) and
        since when it is silent (s). Raises NotFound if no such job is under way.
        """
        return await self._verbs.call("explain", {"job": job}, unwatched)

    async def limit(
        self, *, up: str | int | None = None, down: str | int | None = None, job: int | None = None
    ) -> JsonObject:
        """Change the caps of the running node, or of one of its jobs, at once; what is None stays.

        `up`, `down`: bytes/s (20_000_000, "20MB", "20MiB"), or "none" to lift the cap; `job`: a number from `status`.
        What is set holds until the schedule of the home's config changes them next, or the node ends. Returns {"job",
        "up", "down", "by_schedule"}: what holds now. Raises UsageError for what is no cap and where no daemon runs,
        NotFound if there is no such job.
        """
        return await self._verbs.call("limit", {"up": up, "down": down, "job": job}, unwatched)

    async def names(self) -> dict[str, str]:
        """Return the user's own names and what each stands for: a publisher's peer id or a reference.

        Raises DiskError.
        """
        result = await self._verbs.call("names", {}, unwatched)
        return dict(result["names"])

    async def name_add(self, alias: str, target: str) -> None:
        """Let `alias` stand for a publisher (peer id), or a full `org/name` for a reference.

        Raises UsageError if `alias` cannot be a name, or `target` has no publisher's key or digest in it; DiskError.
        """
        await self._verbs.call("name_add", {"alias": alias, "target": target}, unwatched)

    async def name_remove(self, alias: str) -> None:
        """Forget a name of the user's own. Raises NotFound if there is none, DiskError."""
        await self._verbs.call("name_remove", {"alias": alias}, unwatched)

    async def repository(self, name: str) -> JsonObject:
        """Return what `name` ("org/name", or "name") means to whoever knows names alone: {"reference", "settled",
        "versions", "candidates"}. Nobody else is asked.

        "reference" leads to it: by a publisher's key or the user's own name for one, a mapping (`name_add`), or what is
        published here; None for what was adopted here under that name, and where nothing is called so. "settled": no
        newer version can come, for it means bytes. "versions" are those known here, the newest of a tag first:
        [{"manifest", "tag" (None if adopted), "kind" ("model", "dataset", "app", or None), "created" (unix seconds or
        None), "licence", "description", "private", "published", "revision" (the hub's commit, if it was adopted from
        there)}]. "candidates": references to what is called alike, where nothing is called so. Raises DiskError.
        """
        return await self._verbs.call("repository", {"name": name}, unwatched)

    async def repositories(self) -> list[JsonObject]:
        """Return what can be asked for by a name: {"name", "version"} each, as in `repository`; published here, adopted
        from a hub's cache, held by a publisher's name, or mapped. Raises DiskError."""
        return _items(await self._verbs.call("repositories", {}, unwatched))

    async def doctor(self) -> list[JsonObject]:
        """Examine home, keys, disk and network, and mend the index of the store if it needs it.

        Returns {"check", "ok", "detail", "hint"} of each. Raises DiskError.
        """
        return _items(await self._verbs.call("doctor", {}, unwatched))

    async def init(self) -> JsonObject:
        """Make the keys if there are none.

        Returns {"home", "publisher_id", "peer_id"}. Raises NotTrusted for key files that do not hold, DiskError.
        """
        return await self._verbs.call("init", {}, unwatched)

    async def key_export(self) -> bytes:
        """Return the publisher key (PEM, PKCS8, not encrypted). Whoever has it can publish in your name.

        Raises NotTrusted if the key file does not hold, DiskError.
        """
        result = await self._verbs.call("key_export", {}, unwatched)
        return str(result["pem"]).encode()

    async def key_import(self, pem: bytes) -> JsonObject:
        """Make `pem` this home's publisher key. Returns {"publisher_id"}.

        Raises UsageError if there is another, Malformed if `pem` is no Ed25519 key in PEM, NotTrusted, DiskError.
        """
        return await self._verbs.call("key_import", {"pem": pem.decode("ascii", "replace")}, unwatched)


@asynccontextmanager
async def open_hub(
    *,
    home: str | Path | None = None,
    listen: Sequence[str] = (),
    bootstrap: Sequence[str] = (),
    lan: bool | None = None,
    up: str | int | None = None,
    down: str | int | None = None,
) -> AsyncIterator[Hub]:
    """Open the hub of a home (default: $P2PHUB_HOME, else the platform's data folder): `async with open_hub() as hub`.

    `listen`: IP:PORT; `bootstrap`: multiaddrs with /p2p/PEER to find the network by; `lan`: look on the local network.
    `up`, `down`: caps in bytes/s (20_000_000, "20MB", "20MiB", or "none"); where a daemon does the work they hold for
    each fetch of this hub, beside the daemon's own. What is not given comes from the environment and the home's config.
    Raises UsageError, NotTrusted, DiskError.
    """
    config = settings(home=home, listen=listen, bootstrap=bootstrap, lan=lan, up=up, down=down)
    with bare_errors():
        if daemon_running(config.home):
            if listen or bootstrap:
                _log.warning(
                    "a node runs for %s and does the work: where it listens and whom it asks was set when it "
                    "started, and is not changed by this call",
                    config.home,
                )
            async with trio.open_nursery() as nursery:
                yield Hub(
                    remote_verbs(config.home),
                    config,
                    up=None if up is None else parse_cap(up),
                    down=None if down is None else parse_cap(down),
                    nursery=nursery,
                )
                nursery.cancel_scope.cancel()
            return
        async with open_node(config) as verbs, trio.open_nursery() as nursery:
            yield Hub(verbs, config, transient=True, nursery=nursery)
            nursery.cancel_scope.cancel()


@contextmanager
def bare_errors() -> Iterator[None]:
    """Raise an error of the block as itself: the nurseries around it wrap even one error in an ExceptionGroup."""
    error: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        error = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, BaseExceptionGroup):
            raise
    if error is not None:
        raise error


def settings(
    *,
    home: str | Path | None,
    listen: Sequence[str],
    bootstrap: Sequence[str],
    lan: bool | None,
    up: str | int | None,
    down: str | int | None,
) -> Config:
    """Return what options, environment and the home's file say together. Raises UsageError for what makes no sense."""
    return load_config(home=home, listen=listen, bootstrap=bootstrap, lan=lan, up=up, down=down)


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


def _done(result: JsonObject) -> Done:
    fields = _fields(result)
    fields["sources"] = [SourceBytes(**source) for source in fields["sources"]]
    return Done(**fields)


def _place_of(program: str) -> Path:
    """Return where a program keeps what it has: the first of its places that is there, else the first. Blocks."""
    from p2phub.store.caches import default_places

    cache = {"hf-cache": "hf", "ollama": "ollama"}.get(program)
    if cache is None:
        raise UsageError(f"nothing is known of {program!r}", hint="one of hf-cache, ollama")
    places = default_places(cache, os.environ, Path.home())
    return next((place for place in places if place.is_dir()), places[0])


def _places_of_caches(caches: Sequence[str | Path]) -> list[list[str]]:
    """Return (cache, folder) of each place to look at. By this process's environment: a daemon's is another. Blocks."""
    from p2phub.store.caches import CACHES, default_places

    places: list[list[str]] = []
    for cache in caches or CACHES:
        if isinstance(cache, str) and cache in CACHES:
            found = [place for place in default_places(cache, os.environ, Path.home()) if place.is_dir()]
            if caches and not found:
                looked = default_places(cache, os.environ, Path.home())
                hint = f"looked for: {', '.join(map(str, looked))}; name its folder: p2phub adopt DIR"
                raise UsageError(f"no cache of {cache} is here", hint=hint)
            places += [[cache, _absolute(place)] for place in found]
        elif os.path.isdir(cache):
            places.append(["any", _absolute(cache)])
        else:
            hint = f"one of {', '.join(CACHES)}, or the folder of a cache or model"
            raise UsageError(f"{cache} is no folder, and no cache that is known", hint=hint)
    return places


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # Not resolved: a link that the user named stays what they named.


def _unsafe_if_said(allow_unsafe: bool | None) -> JsonObject:
    """Return the argument of a verb, None where it is as its settings say."""
    return {} if allow_unsafe is None else {"allow_unsafe": allow_unsafe}


def as_text(seconds: float) -> str | float:
    """Return a duration as JSON can have it."""
    return "forever" if seconds == math.inf else seconds


def _as_folder(ref: str) -> str | None:
    """Return where `ref` leads if it is a path: from here, for a daemon's working directory is another."""
    try:
        return _absolute(ref)
    except OSError:  # The working directory was removed.
        return None


def _fields(result: JsonObject) -> JsonObject:
    return {name: value for name, value in result.items() if name != "event"}


def _items(result: JsonObject) -> list[JsonObject]:
    return list(result["items"])

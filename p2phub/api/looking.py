"""The hub's verbs that only look: what a reference is, what it would take to fetch it, what is held and is known.

They change nothing but what they learn on the way (releases, what describes a manifest). Names are looked up in the
network, content is never fetched for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from p2phub.api.selecting import selection
from p2phub.api.verbs import HubPart, JsonObject, as_ref, if_said, items, several, unwatched
from p2phub.content import parse_digest
from p2phub.errors import UsageError
from p2phub.manifest import commit_of


def commit_of_version(name: str, version: Mapping[str, Any]) -> str:
    """Return what a version of `name`, as `Hub.repository` tells it, is called by who knows commits: as the hub that it
    was adopted from calls it, else made of name and manifest."""
    own = version["revision"]
    return str(own) if own is not None else commit_of(name, parse_digest(version["manifest"])[0])


def version_at(commit: str, name: str, versions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return which of the versions of `name` is called so; None if none of them is."""
    return next((each for each in versions if commit_of_version(name, each) == commit), None)


class LookingVerbs(HubPart):
    """What is asked about content, here and elsewhere."""

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
        args = {"ref": as_ref(ref), "providers": several(providers), "tensors": tensors}
        return await self._verbs.call("info", args, unwatched)

    async def plan(
        self,
        ref: str,
        *,
        providers: Sequence[str] = (),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        tensors: Sequence[str] = (),
        columns: Sequence[str] = (),
        row_groups: Sequence[str | int] = (),
    ) -> JsonObject:
        """Return what a fetch of `ref`, or of a part of it, would do, before a byte of content moves: {"reference",
        "manifest", "bytes", "bytes_here", "bytes_missing", "files", "here", "providers", "unmatched"}.

        "bytes_here" are on this disk already, in whatever file: they are copied and not fetched. "files" is [{"path",
        "bytes", "bytes_here"}], of a part those that something is wanted of, "here" [{"path" (of a file of this disk),
        "bytes"}], the most first, "providers" [{"peer_id", "address", "via"}] who is known or said to have it,
        "unmatched" the patterns that match nothing. What describes the manifest is fetched. `providers` (multiaddrs
        with /p2p/PEER) are asked first; what chooses a part is as for `fetch`, and the chunks that hold it are counted
        whole. Raises UsageError, Malformed, NotFound, NotTrusted, NoProvider, Damaged, DiskError.
        """
        part = selection(include, exclude, tensors, columns, row_groups)
        return await self._verbs.call("plan", {"ref": as_ref(ref), "providers": several(providers), **part}, unwatched)

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
        args = {"before": before, "after": after, "providers": several(providers)}
        return await self._verbs.call("diff", args, unwatched)

    async def log(self, ref: str) -> list[JsonObject]:
        """Return the releases of a name that are known here, newest first; where none is, the network is asked.

        Each is {"publisher", "name", "tag", "sequence", "manifest", "previous", "parents", "kind", "bytes", "created",
        "expires", "licence", "description", "contradicted_by"}; "created" and "expires" are unix seconds; "parents" are
        [{"manifest", "relation"}] of what it was made of; "contradicted_by" is the manifest of another release that the
        publisher signed with the same sequence, else None. Raises UsageError, NotFound, NotTrusted, DiskError.
        """
        return items(await self._verbs.call("log", {"ref": as_ref(ref)}, unwatched))

    async def ls(self, manifest: str | None = None) -> list[JsonObject]:
        """Return what this home holds and publishes, an object a manifest; of `manifest` alone, if it is given.

        Each is {"manifest", "references": [text], "folder", "files", "bytes" (both of the manifest),
        "bytes_selected" (of a selection, and of files that were made of it, else None), "files_here",
        "files_damaged" (were here, and are not right, or gone, as far as was noticed), "complete", "published",
        "private", "origin", "pinned", "announced_to", "earlier", "replaced", "there", "problem"}; "origin" is
        "published", "adopted", "fetched" (into a folder of the user's) or "own" (in the home's own store);
        "announced_to" is how many took the announcement, None without a daemon; "earlier": where "references" is empty,
        names that led to it before their newest release known here; "replaced": whether its folder was given another
        version since, of such a name, or by which files of it were replaced; "there": whether anything stands where
        "folder" says, None where the disk did not answer in time; "problem": why it is not known what the manifest is,
        so that nothing else is told of it but where it is and how it is called, else None. Raises DiskError, and
        Malformed for what is no digest.
        """
        return items(await self._verbs.call("ls", if_said(manifest=manifest), unwatched))

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

    async def publishable(self, name: str) -> JsonObject:
        """Return what of ours `name` ("org/name", or "name") is, or would be: {"reference" (with our key), "name" (the
        publisher's), "mapped" (whether `name` leads there, else `name_add` is still to say so)}. Raises NotTrusted if
        it means what somebody else publishes, UsageError if nothing can be published so, DiskError.
        """
        return await self._verbs.call("publishable", {"name": name}, unwatched)

    async def repositories(self) -> list[JsonObject]:
        """Return what can be asked for by a name: {"name", "version"} each, as in `repository`; published here, adopted
        from a hub's cache, held by a publisher's name, or mapped. Raises DiskError."""
        return items(await self._verbs.call("repositories", {}, unwatched))

    async def search(
        self, words: str, *, kind: str | None = None, held: bool = False, limit: int = 30, cursor: int | None = None
    ) -> JsonObject:
        """Return what this home holds or has seen that has these words, the best first: {"items", "cursor", "total",
        "complete"}. Nobody else is asked.

        All of `words` must be there, in its names, title, licence, formats of files, or its publisher's key; the last
        one may be unfinished. None: everything, what is held first, then the newest. `kind`: "model", "dataset" or
        "app" alone; `held`: what is held alone, and only then "total" says how many there are. Each is {"ref" (what
        leads to it), "name" (what the user calls it), "publisher", "tag", "manifest", "commit", "kind", "title",
        "licence", "formats", "size" (bytes), "files" (how many), "created" (unix seconds), "sequence", "held",
        "origin" (as in `ls`), "pinned", "private", "seen" (unix seconds, to the day)}, None where it is not known.
        "cursor": what to give for those behind these, or None. "complete": False while a node that has just begun goes
        through what it holds. Raises UsageError, DiskError.
        """
        args = {"words": words, "kind": kind, "held": held, "limit": limit, "cursor": cursor}
        return await self._verbs.call("search", args, unwatched)

    async def unfinished(self) -> list[JsonObject]:
        """Return the fetches of this home that began and did not end, the newest first; the same call goes on with one.

        Each is {"reference" (as it was given), "manifest", "folder", "bytes" (in all), "percent" (about, of them, that
        is here), "job" (its number, where the daemon has it under way, else None), "references" (names that lead to
        it), "own" (whether it lies in the home's own store, where `pin` completes it), "options" ([name, value] of
        `fetch`'s options that are to be given again), "unsafe" (whether it was refused
        for what may run code, and so will be again unless that is allowed)}. Raises DiskError.
        """
        try:
            return items(await self._verbs.call("unfinished", {}, unwatched))
        except UsageError:  # A daemon that was started by an older version does not know the verb.
            return []

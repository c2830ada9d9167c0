"""The hub's verbs on what is held: read it back and repair it, pin it, forget it, collect what nothing keeps.

None of them touches a file of the user's but `verify` with `repair`, and that only what was fetched by us; what may be
collected lies in the home's own store alone (docs/decisions/0093). What is held is told by `api/looking`.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2phub.api.verbs import HubPart, JsonObject, as_folder, as_ref, as_wait, if_said, several, unwatched
from p2phub.observe import Watch


class KeepingVerbs(HubPart):
    """What is done with content that is held."""

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
        damaged is not served until it is right again. "files" and "bytes" are what was read: of a selection what was
        selected. `watch` is told of PublishProgress. Raises NotFound if it is not held, UsageError, DiskError.

        With `repair`, what is damaged is replaced, if it was fetched by us: what of a file is right is copied, the rest
        fetched (`providers`, `mirrors` and `watch` as for `fetch`; `allow_unsafe`, too, where files are missing: what
        stands there damaged was allowed before). Then there are also "repaired": [paths], "bytes_received" and
        "sources". Raises what `fetch` raises, and DiskError if the files are not ours to replace: published, or adopted
        from another program.
        """
        args: JsonObject = {"ref": as_ref(ref), "folder": as_folder(ref)}
        if repair:  # Only where it is asked for: a daemon of an older version does not know it.
            args |= {"repair": True, "providers": several(providers), "mirrors": several(mirrors)}
            args |= if_said(allow_unsafe=allow_unsafe)
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
        `fetch`. Room within the quota is made by letting go of what is not pinned in the own store, and of what came
        from an upstream hub, of what was not used for longest first. Returns {"manifest", "folder", "fetched": None if
        it was here, else as Done has it}. Raises UsageError, Malformed, NotFound, NotTrusted, of it Unsafe, NoProvider,
        Damaged, ChunkMismatch, DiskError, as `fetch` does; of it DiskFull where the quota leaves no room. Failed, it
        leaves the pin and what came, and the same call goes on from there.
        """
        args = {
            "ref": as_ref(ref),
            "folder": as_folder(ref),
            "providers": several(providers),
            "mirrors": several(mirrors),
        }
        said = if_said(wait=as_wait(wait), allow_unsafe=allow_unsafe)
        return await self._verbs.call("pin", {**args, "serve": serve, **said}, watch)

    async def unpin(self, ref: str) -> JsonObject:
        """Let a pinned manifest be collected again, if it lies in the own store or came from an upstream hub; nothing
        is removed by this.

        Returns {"manifest"}. Raises NotFound if it is not pinned, UsageError, DiskError.
        """
        return await self._verbs.call("unpin", {"ref": as_ref(ref), "folder": as_folder(ref)}, unwatched)

    async def remove(self, ref: str) -> JsonObject:
        """Forget what is held; its files stay. `ref`: a reference, for every folder that holds it, or one folder.

        A name that was published from a folder that is forgotten is not published any more. Returns {"manifest",
        "folder", "folders": [all that were forgotten, the first of them "folder"], "own": [those in the home's own
        store, which the next `gc` removes], "unpublished": [names published from those],
        "mirror_files_removed": [where a mirror's were]}. Raises NotFound if it is not held here, UsageError, DiskError.
        """
        return await self._verbs.call("remove", {"ref": as_ref(ref), "folder": as_folder(ref)}, unwatched)

    async def gc(self, *, dry_run: bool = False, unfinished: bool = False) -> JsonObject:
        """Remove what nothing keeps: what lies in the own store or came from an upstream hub and is not pinned,
        metadata of what is not held any more, and what crashes left. Never what stands in a folder of the user's.

        With `dry_run` nothing is removed, and told is what would be. `unfinished`: also what fetches that did not end
        and do not run left beside their destination. Returns {"dry_run", "bytes": of the items, "items": [{"manifest",
        "name": what to call it, if anything is known, "references", "folder", "bytes", "used" (unix seconds or None),
        "others": how many others hold it, or None, "origin": "own" or "upstream", and of a snapshot of an upstream hub
        "revision", while "manifest" may be None: what is not whole here is none}], "leftovers": [{"folder", "bytes"}],
        "unfinished": [{"manifest", "name", "references", "folder", "bytes"}], "blobs", "blob_bytes", "rows",
        "unfinished_bytes": what is kept of fetches that did not end}. Raises DiskError; what was removed by then is
        gone, and the rest can be read.
        """
        return await self._verbs.call("gc", {"dry_run": dry_run, "unfinished": unfinished}, unwatched)

    async def du(self) -> JsonObject:
        """Return what is held and what it takes, all in bytes.

        {"items": [{"manifest", "references", "name" (that it had where it was adopted, or None), "folder", "origin",
        "pinned", "complete", "bytes", "bytes_once": in chunks that nothing else held here has, "bytes_same_content": in
        chunks held elsewhere, too (by digest), "bytes_same_file": in files that another holding has, too (by inode),
        "bytes_selected": of files that were made of selected parts of it}],
        "by_origin": {origin: bytes}, "bytes": of all, "bytes_files": each file counted once, "bytes_content": each
        chunk counted once, "upstream": {"folder", "bytes": of what came from an upstream hub, each file once,
        "bytes_held": of that, what is among the items, "snapshots"}, "quota": of the own store and what came from an
        upstream hub, or None, "blobs", "blob_bytes", "index_bytes", "log_bytes", "leftover_bytes": in both, named by
        nothing, "unfinished_bytes": in the own store, of fetches that did not end}. Raises DiskError.
        """
        return await self._verbs.call("du", {}, unwatched)

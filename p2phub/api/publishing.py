"""The hub's verbs of a publisher: survey a folder, publish it under a name of ours, take the name back.

What they do is `node/verbs/publishing` and `engine/publish`; here are their types, and paths as the caller means them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from p2phub.api.verbs import HubPart, JsonObject, absolute, as_ref, fields, unwatched
from p2phub.observe import Published, Watch


class PublishingVerbs(HubPart):
    """What a publisher asks of the hub."""

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
        parents: Sequence[str] = (),
        watch: Watch = unwatched,
    ) -> Published:
        """Hash `folder` in place, sign it as `name`, record it; a running daemon announces it.

        Returns Published: reference, manifest digest and ticket as text, how many files and bytes, how many of the
        bytes had to be read, whether a peer of the network took the announcement, seconds, and remarks ({"path",
        "what"}) on files that are not what they are called or may run code when they are loaded. Files are only read.
        `name` and `tag`: lower-case letters, digits and `._-`; `kind`: one of `KINDS`. `private`: never announced; with
        `allow` (peer ids) only those nodes may fetch it, else whoever has the ticket. `ignore` and `include` are
        gitignore patterns beside the built-in rule. `mirror_files`: a folder in which to write what makes a web server
        that serves it, with the published files in it, a mirror (proto/mirror.md). `parents`: references of the models
        that this one was made of, with what it is to them before a `=` if that is no "finetune"; who has them gives
        whoever fetches this what both have. `watch` is told of PublishProgress.
        Raises UsageError for what may not be published (an empty folder, links that leave it, what looks like a secret)
        and for a name that is none, NotFound and NoProvider for a parent that nobody knows, ContentChanged for a file
        that changes while it is read, DiskError.
        """
        result = await self._verbs.call(
            "publish",
            {
                "folder": absolute(folder),
                "name": name,
                "tag": tag,
                "kind": kind,
                "description": description,
                "licence": licence,
                "private": private,
                "allow": list(allow),
                "ignore": list(ignore),
                "include": list(include),
                "mirror_files": None if mirror_files is None else absolute(mirror_files),
                "parents": list(parents),
            },
            watch,
        )
        return Published(**fields(result))

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
            {"folder": absolute(folder), "ignore": list(ignore), "include": list(include)},
            unwatched,
        )

    async def unpublish(self, ref: str) -> JsonObject:
        """Stop announcing and serving a name of ours, with its earlier versions; its files stay.

        What `publish` wrote into the same folder for a mirror is removed. Earlier versions that another name means go
        on, and so do those that are pinned. Returns {"reference", "manifest", "folder", "mirror_files_removed": where
        they stood, or None, "earlier": [manifests that ended with it], "earlier_pinned": [those that go on]}. Raises
        NotFound if nothing is published here by that name, UsageError, DiskError.
        """
        return await self._verbs.call("unpublish", {"ref": as_ref(ref)}, unwatched)

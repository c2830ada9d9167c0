"""What the page is told of one model or dataset: its files, which bytes of them are here, tensors, versions, its map.

What is held is told by this machine alone; of the rest the network is asked, within a bound of time.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import HubError, NoProvider, NotFound, UsageError
from p2phub.http.refusal import Refusal
from p2phub.web.asked import Ask
from p2phub.web.jobs import short_name
from p2phub.web.markdown import card_document, pictures_of
from p2phub.web.merging import Piece, coarser, merged, overlap

ASK_S = 20.0
"""How long the network is asked what something is."""

FILES_TOLD_MAX = 1000
VERSIONS_TOLD_MAX = 64
MAP_FILES_MAX = 200
MAP_PIECES_MAX = 2000
MAP_PIECES_OF_FILE_MAX = 400
MAP_SPANS_MAX = 1000
_PICTURE_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
}
CARDS = ("README.md", "readme.md", "README.MD", "Readme.md", "README", "README.txt")


Json = dict[str, Any]


class Tensor(msgspec.Struct, frozen=True):
    """A tensor, or a column of one row group, at bytes `start` ..< `stop` of a file."""

    name: str
    file: str
    dtype: str
    shape: list[int]
    start: int
    stop: int


class Models:
    """What there is to tell of models, with the tensors of those that were looked at last."""

    def __init__(self, hub: api.Hub) -> None:
        self._hub = hub
        self._tensors: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()
        self._cards: OrderedDict[tuple[str, str], str] = OrderedDict()  # By manifest and path.
        self._dangers: OrderedDict[tuple[str, str], str | None] = OrderedDict()
        self._one_card = trio.CapacityLimiter(1)

    # --- a model ------------------------------------------------------------------------------------------------------

    async def model(self, ref: str) -> Json:
        """Raises HubError."""
        found = await self._extents(ref, count=FILES_TOLD_MAX)
        manifest = found["manifest"]
        versions = await self._versions(ref)
        said = found["release"] or next((each for each in versions if each["manifest"] == manifest), {})
        shown = versions[:VERSIONS_TOLD_MAX]
        asked = dict.fromkeys([manifest, *(each["manifest"] for each in shown)])
        here = {each["manifest"]: each for each in await self._hub.holdings(list(asked))}
        held = here.get(manifest, {})
        total, bytes_here = found["bytes"], found["bytes_here"] or 0
        files = found["files"] or []
        is_whole = held.get("complete", False) or (bool(total) and bytes_here == total)
        return {
            "ref": ref,
            "name": said.get("name") or short_name(ref),
            "tag": said.get("tag"),
            "kind": said.get("kind"),
            "description": said.get("description", ""),
            "licence": said.get("licence", ""),
            "size": total if total is not None else said.get("bytes"),
            "publisher": said.get("publisher"),
            "manifest": manifest,
            "created": said.get("created"),
            "expires": said.get("expires"),
            "pinned": held.get("pinned", False),
            "published": held.get("published", False),
            "private": held.get("private", False),
            "folder": held.get("folder"),
            "origin": held.get("origin"),
            "held": "all" if is_whole else "some" if bytes_here else "none",
            "held_bytes": bytes_here,
            "card": _card_among([file["path"] for file in files]),
            "files": [
                {
                    "path": file["path"],
                    "size": file["size"],
                    "sha256": file["sha256"],
                    "held_bytes": sum(stop - start for start, stop in file["here"]),
                    "danger": self._dangers.get((manifest, file["path"])),
                }
                for file in files
            ],
            "files_total": found["files_total"],
            "versions": [
                {
                    "tag": each["tag"],
                    "sequence": each["sequence"],
                    "created": each["created"],
                    "manifest": each["manifest"],
                    "here": each["manifest"] in here,
                }
                for each in shown
            ],
            "parents": said.get("parents", []),
            "contradicted": found["contradiction"] is not None,
            "files_unknown": found["files_unknown_because"],
        }

    async def danger(self, ref: str, path: str) -> Json:
        """Say why loading a file may run code. Raises HubError."""
        with in_time():
            async with self._hub.open_model(ref) as model:
                why = await model.danger(path)
                keep(self._dangers, (model.manifest, path), why, most=limits.PAGE_DANGERS_KEPT_MAX)
                return {"danger": why}

    async def providers(self, ref: str) -> list[Json]:
        """Say who else has it. Raises HubError."""
        with in_time():
            return await self._hub.holders(ref)

    # --- tensors ------------------------------------------------------------------------------------------------------

    async def tensors(self, asked: Ask) -> Json:
        """Raises HubError; NoProvider where nobody tells."""
        extents = await self._extents(asked.ref, count=FILES_TOLD_MAX, largest=True)
        found: Sequence[Tensor] = await self._tensors_of(asked.ref, extents["manifest"])
        if asked.words:
            found = await trio.to_thread.run_sync(partial(_with_words, found, frozenset(asked.words)))
        stop = asked.cursor + asked.limit
        here = {file["path"]: file["here"] for file in extents["files"] or ()}
        return {
            "items": [
                {**msgspec.structs.asdict(each), "held_bytes": overlap(each.start, each.stop, here.get(each.file, ()))}
                for each in found[asked.cursor : stop]
            ],
            "cursor": stop if stop < len(found) else None,
            "total": len(found),
        }

    async def map(self, ref: str) -> Json:
        """Raises HubError."""
        extents = await self._extents(ref, count=MAP_FILES_MAX, largest=True)
        if extents["files"] is None:
            raise NoProvider(f"nobody could tell what is in it: {extents['files_unknown_because']}")
        try:
            tensors: Sequence[Tensor] = await self._tensors_of(ref, extents["manifest"])
        except HubError:  # Drawn by its chunks alone.
            tensors = ()
        return await trio.to_thread.run_sync(partial(_map, extents, tensors))

    async def _tensors_of(self, ref: str, manifest: str) -> tuple[Tensor, ...]:
        """Raises HubError; NoProvider where nobody tells."""
        known = self._tensors.get(manifest)
        if known is not None:
            self._tensors.move_to_end(manifest)
            return known
        with in_time():
            # What is held is told by its digest without asking anybody; for the rest the reference leads to providers.
            is_held = bool(await self._hub.holdings([manifest]))
            info = await self._hub.info(manifest if is_held else ref, tensors=True)
        if info["tensors"] is None:
            why = info["tensors_unknown_because"] or info["files_unknown_because"]
            raise NoProvider(f"nobody could tell which tensors are in it: {why}")
        found = tuple(map(_tensor, info["tensors"]))
        self._tensors[info["manifest"]] = found  # What a name means may have changed meanwhile.
        while len(self._tensors) > 1 and sum(map(len, self._tensors.values())) > limits.PAGE_TENSORS_KEPT_MAX:
            self._tensors.popitem(last=False)
        return found

    # --- cards --------------------------------------------------------------------------------------------------------

    async def card(self, ref: str, path: str) -> str:
        """Return a model's card as a document. Raises Refusal(404) where it has none, HubError."""
        with in_time():
            async with self._hub.open_model(ref) as model:
                at = path or _card_among(model.files)
                if at is None or at not in model.files:
                    raise Refusal(404, "it has no card")
                known = self._cards.get((model.manifest, at))
                if known is None:
                    known = await self._made(model, at)
                    keep(self._cards, (model.manifest, at), known, most=limits.PAGE_CARDS_KEPT_MAX)
                return known

    async def _made(self, model: api.OpenModel, path: str) -> str:
        content = await model.gather(path, 0, limits.CARD_BYTES_MAX)
        text = content.decode("utf-8", "replace")
        wanted = await trio.to_thread.run_sync(partial(pictures_of, text), limiter=self._one_card)
        folder = path.rpartition("/")[0]
        pictures: dict[str, str] = {}
        for each in wanted:
            at = f"{folder}/{each}" if folder else each
            kind = _PICTURE_TYPES.get(each.rpartition(".")[2].lower())
            if kind is not None and at in model.files and model.files[at].size <= limits.CARD_PICTURE_BYTES_MAX:
                content = await model.gather(at, 0, limits.CARD_PICTURE_BYTES_MAX)
                pictures[each] = f"data:{kind};base64,{b64encode(content).decode()}"
        render = partial(
            card_document,
            text,
            title=path,
            pictures=pictures,
            is_cut=model.files[path].size > limits.CARD_BYTES_MAX,
        )
        return await trio.to_thread.run_sync(render, limiter=self._one_card)

    # --- what the node is asked ---------------------------------------------------------------------------------------

    async def _extents(self, ref: str, *, count: int, largest: bool = False) -> Json:
        with in_time():
            return await self._hub.extents(ref, count=count, largest=largest)

    async def _versions(self, ref: str) -> list[Json]:
        try:
            with in_time():
                return await self._hub.log(ref)
        except (NotFound, UsageError, NoProvider):  # No name, or one that nobody knows the versions of.
            return []


def _with_words(tensors: Sequence[Tensor], words: frozenset[str]) -> Sequence[Tensor]:
    """Those in whose name, or file's name, all words are. Of a quarter of a million it takes a tenth of a second."""

    def has_all(text: str) -> bool:
        return all(word in text for word in words)

    return [each for each in tensors if has_all(f"{each.name} {each.file}".lower())]


def _tensor(told: Json) -> Tensor:
    start = told["start"]
    return Tensor(told["name"], told["path"], told["dtype"], told["shape"], start, start + told["bytes"])


@contextmanager
def in_time() -> Iterator[None]:
    """Bound a block by ASK_S. Raises NoProvider, which says so."""
    try:
        with trio.fail_after(ASK_S):
            yield
    except trio.TooSlowError as exc:
        raise NoProvider("nobody answered in time") from exc


def _card_among(paths: Iterable[str]) -> str | None:
    there = set(paths)
    return next((name for name in CARDS if name in there), None)


def _map(extents: Json, tensors: Sequence[Tensor]) -> Json:
    of_file: dict[str, list[Piece]] = {file["path"]: [] for file in extents["files"]}
    for each in tensors:
        if each.file in of_file:
            of_file[each.file].append(Piece(each.name, each.start, each.stop))
    drawn = sum(bool(pieces) for pieces in of_file.values())
    most = min(MAP_PIECES_OF_FILE_MAX, max(1, MAP_PIECES_MAX // max(1, drawn)))
    return {
        "files": [
            {
                "path": file["path"],
                "size": file["size"],
                "chunks": file["chunks"],
                "held": coarser(file["here"], most=MAP_SPANS_MAX),
                "tensors": merged(of_file[file["path"]], most=most),
            }
            for file in extents["files"]
        ],
        "files_total": extents["files_total"],
    }

"""What the page is told of one model or dataset: its files and which bytes of them are here, tensors, versions, its map.

What is held, or described here, is told by this machine alone; of the rest the network is asked, within a bound of time.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial

import msgspec
import trio

from p2phub import api
from p2phub.errors import HubError, NoProvider, NotFound, UsageError
from p2phub.http.refusal import Refusal
from p2phub.web.catalogue import Catalogue
from p2phub.web.jobs import short_name
from p2phub.web.listing import Item, Json, page
from p2phub.web.markdown import CARD_BYTES_MAX, PICTURES_MAX, card_document, pictures_of
from p2phub.web.merging import Piece, coarser, merged, overlap

ASK_S = 20.0
"""How long the network is asked what something is."""

FILES_TOLD_MAX = 1000
VERSIONS_TOLD_MAX = 64
MAP_FILES_MAX = 200
MAP_PIECES_MAX = 2000
MAP_PIECES_OF_FILE_MAX = 400
MAP_SPANS_MAX = 1000
TENSORS_KEPT_MAX = 200_000
"""Tensors of models that were looked at last, kept in memory: some 300 bytes each."""

PICTURE_BYTES_MAX = 1024 * 1024
_PICTURE_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
CARDS = ("README.md", "readme.md", "README.MD", "Readme.md", "README", "README.txt")


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

    def __init__(self, hub: api.Hub, catalogue: Catalogue) -> None:
        self._hub, self._catalogue = hub, catalogue
        self._tensors: OrderedDict[str, tuple[Tensor, ...]] = OrderedDict()
        self._cards: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._one_card = trio.CapacityLimiter(1)

    # --- a model ------------------------------------------------------------------------------------------------------

    async def model(self, ref: str) -> Json:
        """Raises HubError."""
        item, key = await self._meant(ref)
        found = await self._extents(key, count=FILES_TOLD_MAX)
        release = found["release"]
        versions = await self._versions(item.ref if item is not None else ref)
        if release is None:  # A digest was asked for; a version of that name may be it.
            release = next((each for each in versions if each["manifest"] == found["manifest"]), None)
        said = release or {}
        known = await self._catalogue.held()
        item = item or known.by_manifest.get(found["manifest"])
        total, here = found["bytes"], found["bytes_here"]
        files = found["files"] or []
        whole = item is not None and item.complete
        return {
            "ref": item.ref if item is not None else ref,
            "name": item.name if item is not None else said.get("name") or short_name(ref),
            "kind": said.get("kind") or (item.kind if item is not None else None),
            "title": said.get("description") or (item.title if item is not None else ""),
            "licence": said.get("licence") or (item.licence if item is not None else ""),
            "size": total if total is not None else said.get("bytes"),
            "publisher": said.get("publisher"),
            "manifest": found["manifest"],
            "commit": item.commit if item is not None else None,
            "created": said.get("created"),
            "expires": said.get("expires"),
            "pinned": item is not None and item.pinned,
            "published": item is not None and item.published,
            "private": item is not None and item.private,
            "folder": item.folder if item is not None else None,
            "origin": item.origin if item is not None else None,
            "held": "all" if whole or (total and here == total) else "some" if here else "none",
            "held_bytes": here or 0,
            "card": _card_among([file["path"] for file in files]),
            "files": [
                {
                    "path": file["path"],
                    "size": file["size"],
                    "sha256": file["sha256"],
                    "held_bytes": sum(stop - start for start, stop in file["here"]),
                    "danger": None,
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
                    "here": each["manifest"] in known.by_manifest,
                }
                for each in versions[:VERSIONS_TOLD_MAX]
            ],
            "parents": said.get("parents", []),
            "contradicted": found["contradiction"] is not None,
            "files_unknown": found["files_unknown_because"],
        }

    async def danger(self, ref: str, path: str) -> Json:
        """Say why loading a file may run code. Raises HubError."""
        _, key = await self._meant(ref)
        with in_time():
            async with self._hub.open_model(key) as model:
                return {"danger": await model.danger(path)}

    async def providers(self, ref: str) -> Json:
        """Say who else has it. Raises HubError."""
        _, key = await self._meant(ref)
        with in_time():
            return {"items": await self._hub.holders(key)}

    # --- tensors ------------------------------------------------------------------------------------------------------

    async def tensors(self, ref: str, words: Sequence[str], cursor: int, limit: int) -> Json:
        """Raises HubError; NoProvider where nobody tells."""
        _, key = await self._meant(ref)
        found: Sequence[Tensor] = await self._tensors_of(key)
        if words:
            found = [each for each in found if all(word in f"{each.name} {each.file}".lower() for word in words)]
        shown = page(found, cursor, limit)
        extents = await self._extents(key, count=FILES_TOLD_MAX, largest=True)
        here = {file["path"]: file["here"] for file in extents["files"] or ()}
        shown["items"] = [
            {**msgspec.structs.asdict(each), "held_bytes": overlap(each.start, each.stop, here.get(each.file, ()))}
            for each in shown["items"]
        ]
        return shown

    async def map(self, ref: str) -> Json:
        """Raises HubError."""
        _, key = await self._meant(ref)
        extents = await self._extents(key, count=MAP_FILES_MAX, largest=True)
        if extents["files"] is None:
            raise NoProvider(f"nobody could tell what is in it: {extents['files_unknown_because']}")
        try:
            tensors: Sequence[Tensor] = await self._tensors_of(key)
        except HubError:  # Drawn by its chunks alone.
            tensors = ()
        return await trio.to_thread.run_sync(partial(_map, extents, tensors))

    async def _tensors_of(self, key: str) -> tuple[Tensor, ...]:
        """Raises HubError; NoProvider where nobody tells."""
        known = self._tensors.get(key)
        if known is not None:
            self._tensors.move_to_end(key)
            return known
        with in_time():
            info = await self._hub.info(key, tensors=True)
        if info["tensors"] is None:
            why = info["tensors_unknown_because"] or info["files_unknown_because"]
            raise NoProvider(f"nobody could tell which tensors are in it: {why}")
        found = tuple(
            Tensor(each["name"], each["path"], each["dtype"], each["shape"], each["start"], each["start"] + each["bytes"])
            for each in info["tensors"]
        )
        self._tensors[info["manifest"]] = found  # By digest alone: what a name means may change.
        while len(self._tensors) > 1 and sum(map(len, self._tensors.values())) > TENSORS_KEPT_MAX:
            self._tensors.popitem(last=False)
        return found

    # --- cards --------------------------------------------------------------------------------------------------------

    async def card(self, ref: str, path: str) -> str:
        """Return a model's card as a document. Raises Refusal(404) where it has none, HubError."""
        _, key = await self._meant(ref)
        with in_time():
            async with self._hub.open_model(key) as model:
                at = path or _card_among(model.files)
                if at is None or at not in model.files:
                    raise Refusal(404, "it has no card")
                known = self._cards.get((model.manifest, at))
                if known is None:
                    known = await self._made(model, at)
                    self._cards[model.manifest, at] = known
                    while len(self._cards) > PICTURES_MAX:
                        self._cards.popitem(last=False)
                return known

    async def _made(self, model: api.OpenModel, path: str) -> str:
        content = await _read(model, path, CARD_BYTES_MAX)
        text = content.decode("utf-8", "replace")
        wanted = await trio.to_thread.run_sync(partial(pictures_of, text), limiter=self._one_card)
        folder = path.rpartition("/")[0]
        pictures: dict[str, str] = {}
        for each in wanted:
            at = f"{folder}/{each}" if folder else each
            kind = _PICTURE_TYPES.get(each.rpartition(".")[2].lower())
            if kind is not None and at in model.files and model.files[at].size <= PICTURE_BYTES_MAX:
                content = await _read(model, at, PICTURE_BYTES_MAX)
                pictures[each] = f"data:{kind};base64,{b64encode(content).decode()}"
        render = partial(
            card_document,
            text,
            title=path,
            pictures=pictures,
            is_cut=model.files[path].size > CARD_BYTES_MAX,
        )
        return await trio.to_thread.run_sync(render, limiter=self._one_card)

    # --- what is meant ------------------------------------------------------------------------------------------------

    async def _meant(self, ref: str) -> tuple[Item | None, str]:
        """Return what is held of a reference, if something is, and what to ask the node by: of what is held its digest,
        which nobody has to be asked about."""
        known = await self._catalogue.held()
        item = known.by_ref.get(ref) or known.by_manifest.get(ref)
        return item, ref if item is None else item.manifest

    async def _extents(self, key: str, *, count: int, largest: bool = False) -> Json:
        with in_time():
            return await self._hub.extents(key, count=count, largest=largest)

    async def _versions(self, ref: str) -> list[Json]:
        try:
            with in_time():
                return await self._hub.log(ref)
        except (NotFound, UsageError, NoProvider):  # No name, or one that nobody knows the versions of.
            return []


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


async def _read(model: api.OpenModel, path: str, most: int) -> bytes:
    """Return the beginning of a file, fetched if it is not here. Raises HubError."""
    async with aclosing(model.read(path, 0, most)) as pieces:
        return b"".join([bytes(piece) async for piece in pieces])


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

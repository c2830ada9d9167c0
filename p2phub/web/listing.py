"""What this home holds, as a list: an item a manifest, made of what the node tells of holdings and of names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

Json = dict[str, Any]
T = TypeVar("T")
_ORIGINS = ("published", "fetched", "own", "adopted", "shared")  # Whose it is rather, where it is held several times.


class Item(msgspec.Struct, frozen=True):
    """A manifest that is held. `ref` leads to it; `size` in bytes, `created` in unix seconds; `title` is what its
    publisher says of it; `commit` what a hub calls it, if it was adopted from there."""

    ref: str
    name: str
    kind: str | None
    size: int
    files: int
    files_here: int
    complete: bool
    pinned: bool
    origin: str
    published: bool
    private: bool
    created: int | None
    title: str
    licence: str
    commit: str | None
    manifest: str
    folder: str


class Held(msgspec.Struct, frozen=True):
    """All that is held: `items`, the newest first, each with the letters that are searched; bytes by origin."""

    items: tuple[Item, ...] = ()
    texts: tuple[str, ...] = ()
    by_manifest: dict[str, Item] = {}
    by_ref: dict[str, Item] = {}
    bytes_by_origin: dict[str, int] = {}

    @property
    def bytes(self) -> int:
        return sum(self.bytes_by_origin.values())


def held(holdings: Iterable[Mapping[str, Any]], repositories: Iterable[Mapping[str, Any]]) -> Held:
    """Make the list of what `Hub.ls` and `Hub.repositories` tell."""
    named: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for each in repositories:
        version = each["version"]
        known = named.get(version["manifest"])
        if known is None or known[1]["created"] is None:  # A mapped name tells of nothing but the manifest.
            named[version["manifest"]] = (each["name"] if known is None else known[0], version)
    best: dict[str, Mapping[str, Any]] = {}
    refs: dict[str, str] = {}
    for each in holdings:
        manifest = each["manifest"]
        known_one = best.get(manifest)
        if known_one is None or _rank(each) < _rank(known_one):
            best[manifest] = each
        for ref in each["references"]:
            refs.setdefault(ref, manifest)
    items = [_item(each, named.get(manifest)) for manifest, each in best.items()]
    items.sort(key=lambda item: (-(item.created or 0), item.name, item.manifest))
    by_origin: dict[str, int] = {}
    for item in items:
        if item.complete:
            by_origin[item.origin] = by_origin.get(item.origin, 0) + item.size
    by_manifest = {item.manifest: item for item in items}
    by_ref = {ref: by_manifest[manifest] for ref, manifest in refs.items()}
    for name, version in named.values():
        if version["manifest"] in by_manifest:
            by_ref.setdefault(name, by_manifest[version["manifest"]])
    texts = tuple(f"{item.name} {item.title} {item.ref} {item.manifest}".lower() for item in items)
    return Held(tuple(items), texts, by_manifest, by_ref, by_origin)


def found(all_held: Held, words: Sequence[str], kind: str) -> list[Item]:
    """Return those that have all the words in name, title, reference or digest, and are of that kind ("": of any)."""
    return [
        item
        for item, text in zip(all_held.items, all_held.texts, strict=True)
        if (not kind or item.kind == kind) and all(word in text for word in words)
    ]


def page(items: Sequence[T], cursor: int, limit: int) -> Json:
    """Return a page of a list: {"items", "cursor": where the next one begins, "total"}."""
    stop = cursor + limit
    return {
        "items": list(items[cursor:stop]),
        "cursor": stop if stop < len(items) else None,
        "total": len(items),
    }


def _rank(holding: Mapping[str, Any]) -> tuple[bool, int]:
    return not holding["complete"], _ORIGINS.index(holding["origin"])


def _item(holding: Mapping[str, Any], named: tuple[str, Mapping[str, Any]] | None) -> Item:
    name, version = named if named is not None else ("", {})
    ref = holding["references"][0] if holding["references"] else holding["manifest"]
    if not name:
        name = ref.rpartition("/")[2] if holding["references"] else holding["folder"].rpartition("/")[2]
    return Item(
        ref=ref,
        name=name,
        kind=version.get("kind"),
        size=holding["bytes"],
        files=holding["files"],
        files_here=holding["files_here"],
        complete=holding["complete"],
        pinned=holding["pinned"],
        origin=holding["origin"],
        published=holding["published"],
        private=holding["private"],
        created=version.get("created"),
        title=version.get("description", ""),
        licence=version.get("licence", ""),
        commit=version.get("revision"),
        manifest=holding["manifest"],
        folder=holding["folder"],
    )

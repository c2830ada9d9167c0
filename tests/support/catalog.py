"""Entries of the catalog for tests: of people who never published anything, at times that are told apart."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from p2phub.catalog import Entry
from p2phub.store import Told

ANN, BOB = b"\1" * 32, b"\2" * 32
HOUR_S = 3600


def entry(
    name: str,
    *,
    publisher: bytes = ANN,
    tag: str = "main",
    hours: int = 1,
    title: str = "",
    kind: str = "model",
    licence: str = "",
    formats: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    origin: str = "",
    seen: int = 0,
) -> Entry:
    """Return what is known of a name; `hours` after 1970 it was signed."""
    return Entry(
        publisher=publisher,
        name=name,
        tag=tag,
        manifest=sha256(name.encode()).digest(),
        names=names,
        kind=kind,
        title=title,
        licence=licence,
        formats=formats,
        created=hours * HOUR_S,
        sequence=hours,
        origin=origin,
        seen=seen,
    )


def told(entries: Iterable[Entry], *, mark: bytes = b"mark") -> list[Told]:
    return [Told(each, mark) for each in entries]


def names(entries: Iterable[Entry]) -> list[str]:
    return [each.name for each in entries]

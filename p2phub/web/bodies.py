"""The bodies of what changes something: JSON, read strictly into values. Pure."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from p2phub import limits
from p2phub.http.refusal import Refusal

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.PAGE_REF_LETTERS_MAX)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Kind = Literal["model", "dataset", "app"]
Rate = int | Annotated[str, msgspec.Meta(max_length=40)] | None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base: what is not known is refused, since it would not be done."""


class Nothing(Body, frozen=True):
    pass


class Fetch(Body, frozen=True):
    """`into`: a folder of the user's, by its absolute path; None: the home's own store, pinned there."""

    ref: Ref
    into: Path | None = None
    tensors: Annotated[list[Text], msgspec.Meta(max_length=64)] = []


class OfReference(Body, frozen=True):
    ref: Ref


class Stop(Body, frozen=True):
    id: Name


class Limit(Body, frozen=True):
    up: Rate = None
    down: Rate = None


class NameIt(Body, frozen=True):
    name: Name
    ref: Ref


class Survey(Body, frozen=True):
    path: Path


class Publish(Body, frozen=True):
    path: Path
    name: Name
    kind: Kind = "model"
    tag: Name = "main"
    title: Text = ""
    licence: Text = ""


class PublishDropped(Body, frozen=True):
    name: Name
    kind: Kind = "model"
    tag: Name = "main"
    title: Text = ""
    licence: Text = ""


B = TypeVar("B", bound=Body)


def read_body(body: bytes, kind: type[B]) -> B:
    """Return what a body says. Raises Refusal(400), which says what is wrong with it."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise Refusal(400, f"the body is not what this takes: {str(exc)[:200]}") from exc

"""The bodies of what changes something: JSON, read strictly into values. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from p2phub import limits
from p2phub.http.refusal import Refusal

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.PAGE_REF_LETTERS_MAX)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[^\0]*\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Kind = Literal["model", "dataset", "app"]
Rate = int | Annotated[str, msgspec.Meta(max_length=40)] | None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base: what is not known is refused, since it would not be done."""


class Nothing(Body, frozen=True):
    pass


class Fetch(Body, frozen=True):
    """`into`: a folder of the user's, by its absolute path; None: the home's own store, pinned there. `providers`:
    multiaddrs that end in /p2p/PEER, asked before anybody else."""

    ref: Ref
    into: Path | None = None
    providers: Annotated[list[Text], msgspec.Meta(max_length=limits.PAGE_PROVIDERS_MAX)] = []
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


class PublishDropped(Body, frozen=True, kw_only=True):
    """`private`: not announced, for whoever has its ticket; with `allow`, peer ids, for these nodes alone."""

    name: Name
    kind: Kind = "model"
    tag: Name = "main"
    description: Text = ""
    licence: Text = ""
    private: bool = False
    allow: Annotated[list[Name], msgspec.Meta(max_length=limits.PAGE_ALLOWED_MAX)] = []

    def words(self) -> dict[str, Any]:
        """How `Hub.publish` and `Draft.publish` are told of it."""
        return {name: getattr(self, name) for name in PublishDropped.__struct_fields__}


class Publish(PublishDropped, frozen=True, kw_only=True):
    path: Path


B = TypeVar("B", bound=Body)


def read_body(body: bytes, kind: type[B]) -> B:
    """Return what a body says. Raises Refusal(400), which says what is wrong with it."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise Refusal(400, f"the body is not what this takes: {str(exc)[:200]}") from exc

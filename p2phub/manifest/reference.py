"""What a user types to say which model: a reference.

    PUBLISHER/name[@tag | @digest]     who, as a peer id
    petname/name[@tag | @digest]       who, as the user calls them; or an `org/name` that the user mapped as a whole
    name[@tag | @digest]               a repository of this machine, or a mapped name
    digest                             exactly these bytes, whoever published them
    p2phub:…                           a ticket

Reading decides the form only. What a petname or a name without a publisher means is the user's own mapping, never a
stranger's. Source: proto/identifiers.md §6.
"""

from __future__ import annotations

import re

import msgspec

from p2phub.content import Codec, Digest, parse_digest
from p2phub.errors import Malformed, UsageError
from p2phub.identity import PeerId, parse_peer_id
from p2phub.manifest.names import DEFAULT_TAG, check_name
from p2phub.manifest.ticket import PREFIX, Ticket, encode_ticket, parse_ticket

_KEY_BEGINS = "12D3Koo"  # As the text of every publisher's key does, and nothing else that anybody is called.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_COPY = "copy it again, to its end: one line, as `p2phub publish` printed it; or ask its publisher for it once more"
_HINT = "a reference is PUBLISHER/name[@tag], petname/name[@tag], a manifest digest, or a ticket (p2phub:…)"


class Reference(msgspec.Struct, frozen=True):
    """One of the forms. `digest` is set where the bytes are settled (`@digest`, a bare digest, a ticket); `tag` is the
    default where none was given. At most one of `publisher` and `petname`; a ticket or bare digest has no `name`."""

    publisher: PeerId | None = None
    petname: str | None = None
    name: str | None = None
    tag: str = DEFAULT_TAG
    digest: Digest | None = None
    ticket: Ticket | None = None

    def __str__(self) -> str:
        if self.ticket is not None:
            return encode_ticket(self.ticket, private=True)
        digest = self.digest.text(Codec.MSGPACK) if self.digest is not None else None
        if self.name is None:
            return digest or ""
        owner = str(self.publisher) if self.publisher is not None else self.petname
        path = f"{owner}/{self.name}" if owner is not None else self.name
        if digest is not None:
            return f"{path}@{digest}"
        return path if self.tag == DEFAULT_TAG else f"{path}@{self.tag}"


def parse_reference(text: str) -> Reference:
    """Read what a user typed. Raises UsageError with a hint; Malformed for a ticket that is damaged."""
    if text.startswith(PREFIX):
        try:
            ticket = parse_ticket(text)
        except Malformed as exc:
            raise exc.within("this ticket is damaged", hint=_COPY) from exc
        return Reference(digest=ticket.manifest, ticket=ticket)
    bare = _digest_or_none(text)
    if bare is not None:
        return Reference(digest=bare)
    path, at, revision = text.partition("@")
    owner, slash, name = path.rpartition("/")
    if (at and not revision) or (slash and not owner):
        raise _not_one(text)
    digest = _digest_or_none(revision) if revision else None
    tag = revision if revision and digest is None else DEFAULT_TAG
    try:
        check_name(tag, what="tag")
        publisher = parse_peer_id(owner) if owner.startswith(_KEY_BEGINS) else None
        if publisher is not None:
            check_name(name)
    except Malformed as exc:
        raise UsageError(f"not a reference: {text[:120]!r}: {exc.message}", hint=exc.hint or _HINT) from exc
    if publisher is None and not (is_alias(name) and (not slash or is_alias(owner))):
        raise _not_one(text)
    petname = owner if slash and publisher is None else None
    return Reference(publisher=publisher, petname=petname, name=name, tag=tag, digest=digest)


def is_under_a_key(name: str) -> bool:
    """Return whether a name ("org/name") has a publisher's key before it, in whatever case, as OCI clients have them
    all in one: what that means the publisher alone says, by signing it, and no hub or cache."""
    return name.lower().startswith(_KEY_BEGINS.lower()) and "/" in name


def is_alias(text: str) -> bool:
    """Return whether people, organisations and what they publish may be called so elsewhere, or by the user."""
    return _ALIAS.fullmatch(text) is not None


def _digest_or_none(text: str) -> Digest | None:
    try:
        return parse_digest(text)[0]
    except Malformed:
        return None


def _not_one(text: str) -> UsageError:
    hint = _HINT
    if text.startswith(("http://", "https://")):
        hint = "a web server is a source of something that has a reference: p2phub fetch REF --mirror URL"
    elif text.startswith(("/", "./", "../", "~")):
        hint = "verify, rm, pin and unpin take a folder too, if it holds something; `p2phub ls` shows what holds what"
    return UsageError(f"not a reference: {text[:120]!r}", hint=hint)

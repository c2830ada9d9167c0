"""A release: the publisher's signed, numbered pointer from `publisher/name@tag` to a manifest.

    payload = record "p2phub release" 1 {bytes, created, description?, expires, kind, licence?, manifest, name,
              parents?: [[manifest, relation]…], previous?, private?: true, publisher, sequence, tag}
    signed  = envelope for the domain "p2phub release 1", at most 4 KiB; the signer must be the publisher

Reading checks shape and signature and needs no clock; `check_release` judges the times. What the DHT, peers, mirrors
and tickets carry are the signed bytes as received, never an encoding of what was read. Source: proto/release.md.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from blake3 import blake3

from p2phub import limits
from p2phub.content import DIGEST_BYTES, Digest, Fields, pack_record, unpack, unpack_record
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import ENVELOPE_EXTRA_BYTES, PeerId, SecretKey, open_envelope, payload_of, seal
from p2phub.manifest.names import DEFAULT_TAG, check_name

KIND = "p2phub release"
VERSION = 1
DOMAIN = "p2phub release 1"
PAYLOAD_BYTES_MAX = limits.RELEASE_BYTES_MAX - ENVELOPE_EXTRA_BYTES
KINDS = ("model", "dataset", "app")
LICENCE_BYTES_MAX = 64
RELATION_BYTES_MAX = 32
_TIME_MAX = (1 << 40) - 1  # Seconds; the year 36812.
_BYTES_MAX = (1 << 63) - 1


class Release(msgspec.Struct, frozen=True):
    """What a publisher says about one name. Times are whole seconds since 1970, `bytes_total` the sum of file sizes,
    `parents` (manifest digest, relation such as "finetune") of base models, `previous` the manifest it replaces.
    Whoever holds a `private` one, or what it names, keeps it: no announcement, no putting again, no serving on."""

    publisher: PeerId
    name: str
    manifest: Digest
    sequence: int
    bytes_total: int
    created: int
    expires: int
    tag: str = DEFAULT_TAG
    kind: str = "model"
    previous: Digest | None = None
    licence: str = ""
    parents: tuple[tuple[Digest, str], ...] = ()
    description: str = ""
    private: bool = False


def sign_release(key: SecretKey, release: Release) -> bytes:
    """Return the signed envelope. Raises Malformed for a field that breaks a rule, NotTrusted for a foreign key."""
    fields: dict[str, object] = {
        "bytes": release.bytes_total,
        "created": release.created,
        "expires": release.expires,
        "kind": release.kind,
        "manifest": release.manifest.raw,
        "name": release.name,
        "publisher": release.publisher.public_key,
        "sequence": release.sequence,
        "tag": release.tag,
    }
    if release.description:
        fields["description"] = release.description
    if release.licence:
        fields["licence"] = release.licence
    if release.parents:
        fields["parents"] = [[manifest.raw, relation] for manifest, relation in release.parents]
    if release.previous is not None:
        fields["previous"] = release.previous.raw
    if release.private:
        fields["private"] = True
    signed = seal(key, DOMAIN, pack_record(KIND, VERSION, fields))
    read_release(signed)  # What we would refuse, we do not sign.
    return signed


def read_release(signed: bytes) -> Release:
    """Return what `signed` says, its shape and signature checked, without a clock.

    Raises Malformed: what envelope and record raise; name, release-kind, release-parents, release-private,
    release-times. Raises NotTrusted: signature, release-signer.
    """
    signer, payload = open_envelope(signed, DOMAIN, payload_bytes_max=PAYLOAD_BYTES_MAX)
    release = _release_of(payload)
    if signer != release.publisher:
        raise NotTrusted(f"a release of {release.publisher} signed by {signer}", rule="release-signer")
    return release


@lru_cache(maxsize=16_384)  # Those of all repositories of a home are asked for with each listing of them.
def kept_release(signed: bytes) -> Release:
    """Return what a release says that was read before and kept by us: its signature is not looked at again, which is
    most of what reading one takes. Raises Malformed."""
    return _release_of(payload_of(signed, payload_bytes_max=PAYLOAD_BYTES_MAX))


def _release_of(payload: bytes) -> Release:
    fields = unpack_record(payload, KIND, VERSION)
    release = Release(
        publisher=PeerId(fields.binary("publisher", least=32, most=32)),
        name=fields.text("name", most=64),
        manifest=_digest(fields, "manifest"),
        sequence=fields.unsigned("sequence", least=1, most=limits.SEQUENCE_MAX),
        bytes_total=fields.unsigned("bytes", most=_BYTES_MAX),
        created=fields.unsigned("created", most=_TIME_MAX),
        expires=fields.unsigned("expires", most=_TIME_MAX),
        tag=fields.text("tag", most=64),
        kind=fields.text("kind", most=16),
        previous=_digest(fields, "previous") if "previous" in fields else None,
        licence=fields.text("licence", most=LICENCE_BYTES_MAX) if "licence" in fields else "",
        parents=_parents(fields) if "parents" in fields else (),
        description=(fields.text("description", most=limits.DESCRIPTION_BYTES_MAX) if "description" in fields else ""),
        private="private" in fields,
    )
    check_name(release.name)
    check_name(release.tag, what="tag")
    if release.kind not in KINDS:
        raise Malformed("release-kind", f"a release of the kind {release.kind!r}; known are {', '.join(KINDS)}")
    if release.private and not _says_true(payload, "private"):
        # One way to say each: a false that one reader takes for public and another for private would leak.
        raise Malformed("release-private", "private is said by true and otherwise left out")
    if not 0 < release.expires - release.created <= limits.RELEASE_LIFETIME_S:
        raise Malformed("release-times", f"created {release.created}, expires {release.expires}")
    return release


def named_manifest(signed: bytes) -> Digest:
    """Return the manifest that a release names which was read before and kept by us: nothing is checked again, which
    makes it some ten times quicker where there are many. Raises Malformed."""
    payload = payload_of(signed, payload_bytes_max=PAYLOAD_BYTES_MAX)
    return _digest(unpack_record(payload, KIND, VERSION), "manifest")


def check_release(release: Release, *, now: float) -> None:
    """Raise NotTrusted unless the release is good at `now` (seconds since 1970).

    Rules: release-ahead (created more than CLOCK_SKEW_S from now), release-expired, sequence-ahead (a number beyond now
    and a day in milliseconds: whoever took it could never be updated again).
    """
    if release.created > now + limits.CLOCK_SKEW_S:
        ahead_s = release.created - now
        raise NotTrusted(
            f"the release of {release.name} was made {ahead_s:.0f} s in the future",
            rule="release-ahead",
            hint="is this machine's clock right?",
        )
    if now >= release.expires:
        raise NotTrusted(
            f"the release of {release.name} expired {(now - release.expires) / 86_400:.1f} days ago",
            rule="release-expired",
            hint="its publisher must publish again",
        )
    if release.sequence > now * 1000 + limits.SEQUENCE_AHEAD_MS:
        raise NotTrusted(f"sequence {release.sequence} of {release.name} is far ahead of time", rule="sequence-ahead")


def check_answers(release: Release, publisher: PeerId, name: str, tag: str) -> None:
    """Raise NotTrusted("release-name") unless the release is about the name that was asked for."""
    if (release.publisher, release.name, release.tag) != (publisher, name, tag):
        raise NotTrusted(
            f"asked for {publisher}/{name}@{tag}, got {release.publisher}/{release.name}@{release.tag}",
            rule="release-name",
        )


def dht_key(publisher: PeerId, name: str, tag: str) -> str:
    """Return the DHT key under which the release of a name stands: `/p2phub/` and 64 hex digits."""
    parts = (b"p2phub release key 1", publisher.public_key, name.encode(), tag.encode())
    return "/p2phub/" + blake3(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


def next_sequence(known: int | None, now_ms: int) -> int:
    """Return the number of the next release: above the highest known, and otherwise the time in milliseconds."""
    return max((known or 0) + 1, now_ms)


def _says_true(payload: bytes, name: str) -> bool:
    """Whether the record `payload`, which was read before, has true in its field `name`."""
    match unpack(payload):
        case [_, _, dict(values)]:
            return values.get(name) is True
    return False


def _digest(fields: Fields, name: str) -> Digest:
    return Digest(fields.binary(name, least=DIGEST_BYTES, most=DIGEST_BYTES))


def _parents(fields: Fields) -> tuple[tuple[Digest, str], ...]:
    parents: list[tuple[Digest, str]] = []
    for item in fields.array("parents", least=1, most=limits.PARENTS_MAX):
        if not (isinstance(item, list) and len(item) == 2):
            raise Malformed("release-parents", "a parent is [manifest digest, relation]")
        inner = Fields({"manifest": item[0], "relation": item[1]}, "parent")
        parents.append((_digest(inner, "manifest"), inner.text("relation", most=RELATION_BYTES_MAX)))
    return tuple(parents)

"""Vectors of proto/release.md."""

from __future__ import annotations

from typing import Any

from blake3 import blake3

from tests.support.vectors.build import ALICE, BOB, Case, breaks, digest, envelope, gives, key_of, prefixed, record
from tests.support.vectors.identifiers import peer_text

DOMAIN = "p2phub release 1"
CREATED = 1_800_000_000
DAY = 86_400
MANIFEST, OTHER = digest(b"hello"), digest(b"other")


def release(seed: bytes = ALICE, *, domain: str = DOMAIN, version: int = 1, **changed: object) -> bytes:
    """Sign a release by hand; `changed` replaces fields, None removes one."""
    fields: dict[str, object] = {
        "bytes": 90_868_376,
        "created": CREATED,
        "expires": CREATED + 400 * DAY,
        "kind": "model",
        "manifest": MANIFEST,
        "name": "minilm",
        "publisher": key_of(ALICE),
        "sequence": CREATED * 1000,
        "tag": "main",
        **changed,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    return envelope(seed, domain, record("p2phub release", present, version=version))


def read(**changed: object) -> dict[str, Any]:
    return {
        "publisher": peer_text(key_of(ALICE)),
        "name": "minilm",
        "tag": "main",
        "sequence": CREATED * 1000,
        "manifest": MANIFEST.hex(),
        "previous": None,
        "kind": "model",
        "bytes": 90_868_376,
        "created": CREATED,
        "expires": CREATED + 400 * DAY,
        "licence": "",
        "parents": [],
        "description": "",
        "private": False,
        **changed,
    }


def reading() -> list[Case]:
    def bad(says: str, rule: str, **changed: object) -> Case:
        return breaks(says, rule, bytes=release(**changed).hex())  # type: ignore[arg-type]

    whole = {
        "description": "Sätze als Vektoren",
        "licence": "apache-2.0",
        "parents": [[OTHER, "finetune"]],
        "previous": OTHER,
        "private": True,
        "kind": "dataset",
        "tag": "v2",
    }
    known = {**whole, "previous": OTHER.hex(), "parents": [[OTHER.hex(), "finetune"]]}
    good = release()
    return [
        gives("a release", read(), bytes=good.hex()),
        gives("a release with all fields", read(**known), bytes=release(**whole).hex()),  # type: ignore[arg-type]
        gives("a private release", read(private=True), bytes=release(private=True).hex()),
        gives("a field that is not known", read(), bytes=release(note="hello").hex()),
        gives(
            "a lifetime of one second",
            read(expires=CREATED + 1),
            bytes=release(expires=CREATED + 1).hex(),
        ),
        bad("signed for another use", "signature", domain="p2phub release 2"),
        breaks("a flipped bit in the payload", "signature", bytes=good.replace(b"minilm", b"minilo").hex()),
        bad("signed by somebody else", "release-signer", seed=BOB),
        bad("a later version", "record-version", version=2),
        bad("an extension that must be understood", "record-critical", critical=["delegation"]),
        breaks(
            "another kind of record",
            "record-kind",
            bytes=envelope(ALICE, DOMAIN, record("p2phub manifest", {})).hex(),
        ),
        bad("more than 4 KiB", "envelope-long", note=bytes(4096)),
        bad("no name", "field-missing", name=None),
        bad("no sequence", "field-missing", sequence=None),
        bad("a name in capitals", "name", name="MiniLM"),
        bad("a tag that reads as a digest", "name", tag="bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4"),
        bad("a tag with a slash", "name", tag="a/b"),
        bad("a name of 65 letters", "field-range", name="x" * 65),
        bad("sequence 0", "field-range", sequence=0),
        bad("a sequence of 2^63", "field-range", sequence=1 << 63),
        bad("a sequence that is text", "field-type", sequence="1"),
        bad("a sequence that is true", "field-type", sequence=True),
        bad("a negative size", "field-range", bytes=-1),
        bad("a short digest", "field-range", manifest=bytes(31)),
        bad("an unknown kind", "release-kind", kind="virus"),
        bad("a description of more than 512 bytes", "field-range", description="x" * 513),
        bad("an empty description, said", "field-range", description=""),
        bad("a description with an escape sequence", "text-control", description="\x1b[2J"),
        bad("a description in two lines", "text-control", description="a\nb"),
        bad("a licence of more than 64 bytes", "field-range", licence="x" * 65),
        bad("17 parents", "field-range", parents=[[OTHER, "merge"]] * 17),
        bad("no parents, said", "field-range", parents=[]),
        bad("a parent without a relation", "release-parents", parents=[[OTHER]]),
        bad("a parent with a short digest", "field-range", parents=[[bytes(31), "merge"]]),
        bad("a relation of more than 32 bytes", "field-range", parents=[[OTHER, "x" * 33]]),
        bad("private that is false, said", "release-private", private=False),
        bad("private that is 1", "release-private", private=1),
        bad("private that is text", "release-private", private="true"),
        bad("a lifetime of more than 400 days", "release-times", expires=CREATED + 400 * DAY + 1),
        bad("no lifetime", "release-times", expires=CREATED),
        bad("expiry before creation", "release-times", expires=CREATED - 1),
        bad("a time beyond 2^40", "field-range", created=1 << 40, expires=(1 << 40) + 1),
    ]


def checking() -> list[Case]:
    at_most = CREATED * 1000 + DAY * 1000
    return [
        gives("when it is made", {}, bytes=release().hex(), now=CREATED),
        gives("a clock 300 s behind", {}, bytes=release().hex(), now=CREATED - 300),
        gives("in its last second", {}, bytes=release().hex(), now=CREATED + 400 * DAY - 1),
        gives("a sequence a day ahead", {}, bytes=release(sequence=at_most).hex(), now=CREATED),
        breaks("a clock 301 s behind", "release-ahead", bytes=release().hex(), now=CREATED - 301),
        breaks("when it expires", "release-expired", bytes=release().hex(), now=CREATED + 400 * DAY),
        breaks("a sequence further ahead", "sequence-ahead", bytes=release(sequence=at_most + 1).hex(), now=CREATED),
        breaks(
            "the highest sequence",
            "sequence-ahead",
            bytes=release(sequence=(1 << 63) - 1).hex(),
            now=CREATED,
        ),
    ]


def believing() -> list[Case]:
    first, second = release(), release(sequence=CREATED * 1000 + 1, manifest=OTHER)
    lie = release(manifest=OTHER)
    low, high = sorted((first, lie), key=lambda signed: MANIFEST if signed == first else OTHER)
    described = release(description="the same bytes, said twice")
    by_digest = sorted((first, described), key=lambda signed: blake3(signed).digest())

    def case(says: str, known: bytes | None, candidate: bytes, verdict: str, believed: bytes, *evidence: bytes) -> Case:
        return gives(
            says,
            {"verdict": verdict, "believed": believed.hex(), "evidence": [signed.hex() for signed in evidence]},
            known=known.hex() if known is not None else None,
            candidate=candidate.hex(),
            now=CREATED,
        )

    return [
        case("the first of its name", None, first, "newer", first),
        case("a higher sequence", first, second, "newer", second),
        case("the same again", first, first, "same", first),
        case("a lower sequence", second, first, "older", second),
        case("two manifests, one sequence", high, low, "conflict", low, low, high),
        case("the same, the other way round", low, high, "conflict", low, low, high),
        case("two releases of one manifest, one sequence", first, described, "conflict", by_digest[0], *by_digest),
        {
            **breaks("another name", "release-name", known=first.hex(), now=CREATED),
            "candidate": release(name="other", sequence=CREATED * 1000 + 1).hex(),
        },
        {
            **breaks("another tag", "release-name", known=first.hex(), now=CREATED),
            "candidate": release(tag="v2", sequence=CREATED * 1000 + 1).hex(),
        },
        {
            **breaks("an expired one", "release-expired", known=None, now=CREATED),
            "candidate": release(created=CREATED - 2, expires=CREATED - 1).hex(),
        },
    ]


def keys() -> list[Case]:
    def case(says: str, seed: bytes, name: str, tag: str) -> Case:
        named = prefixed(b"p2phub release key 1", key_of(seed), name.encode(), tag.encode())
        key = "/p2phub/" + blake3(named).hexdigest()
        return gives(says, {"key": key}, publisher=peer_text(key_of(seed)), name=name, tag=tag)

    return [
        case("a name", ALICE, "minilm", "main"),
        case("another tag", ALICE, "minilm", "v2"),
        case("another publisher", BOB, "minilm", "main"),
        case("letters that moved from tag to name", ALICE, "minilmm", "ain"),
    ]


def numbers() -> list[Case]:
    return [
        gives("the first", {"sequence": 1_800_000_000_123}, known=None, now_ms=1_800_000_000_123),
        gives("later", {"sequence": 1_800_000_000_123}, known=1_700_000_000_000, now_ms=1_800_000_000_123),
        gives("twice in a millisecond", {"sequence": 6}, known=5, now_ms=5),
        gives("a clock that went back", {"sequence": 1_800_000_000_001}, known=1_800_000_000_000, now_ms=7),
    ]


def files() -> dict[str, tuple[str, dict[str, list[Case]]]]:
    """Return each file of vectors: path below proto/vectors to (section, cases by operation)."""
    return {
        "release/releases.json": ("release.md §1, §2", {"read-release": reading()}),
        "release/times.json": ("release.md §3", {"check-release": checking()}),
        "release/belief.json": ("release.md §4", {"judge": believing(), "next-sequence": numbers()}),
        "release/keys.json": ("release.md §5", {"dht-key": keys()}),
    }

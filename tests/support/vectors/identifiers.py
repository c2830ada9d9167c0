"""Vectors of proto/identifiers.md."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.vectors.build import (
    ALICE,
    BOB,
    Case,
    breaks,
    digest,
    envelope,
    gives,
    key_of,
    pack,
    record,
)

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19


def text_of_digest(raw: bytes, codec: bytes = b"\x55") -> str:
    return base32(b"\x01" + codec + b"\x1e\x20" + raw, "b")


def base32(data: bytes, prefix: str) -> str:
    return prefix + base64.b32encode(data).decode().rstrip("=").lower()


def peer_text(key: bytes) -> str:
    number, text = int.from_bytes(b"\x00\x24\x08\x01\x12\x20" + key, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = ALPHABET[rest] + text
    return "1" + text


def digests() -> dict[str, list[Case]]:
    hello, msgpack = text_of_digest(digest(b"hello")), b"\x81\x04"
    return {
        "digest": [
            gives("no bytes", {"raw": text_of_digest(digest(b"")), "digest": digest(b"").hex()}, bytes=""),
            gives("five bytes", {"raw": hello, "digest": digest(b"hello").hex()}, bytes=b"hello".hex()),
        ],
        "parse-digest": [
            gives("raw bytes", {"digest": digest(b"hello").hex(), "codec": "raw"}, text=hello),
            gives(
                "a msgpack blob",
                {"digest": digest(b"hello").hex(), "codec": "msgpack"},
                text=text_of_digest(digest(b"hello"), msgpack),
            ),
            breaks("upper case", "digest-text", text=hello.upper()),
            breaks("one letter short", "digest-text", text=hello[:-1]),
            breaks("one letter long", "digest-text", text=hello + "a"),
            breaks("unused bits that are not zero", "digest-text", text=hello[:-1] + chr(ord(hello[-1]) + 1)),
            breaks("another multibase", "digest-text", text="z" + hello[1:]),
            breaks("not base32", "digest-text", text="b" + "1" * 58),
            breaks("SHA-256", "digest-text", text=base32(b"\x01\x55\x12\x20" + bytes(32), "b")),
            breaks("another codec", "digest-text", text=text_of_digest(bytes(32), b"\x70")),
            breaks("CID version 0", "digest-text", text=base32(b"\x00\x55\x1e\x20" + bytes(32), "b")),
            breaks("empty", "digest-text", text=""),
            breaks("very long", "digest-text", text="b" + "a" * 10_000),
        ],
    }


def peers() -> dict[str, list[Case]]:
    alice = peer_text(key_of(ALICE))
    here = f"/ip4/192.0.2.1/tcp/4717/p2p/{alice}"
    return {
        "parse-peer-id": [
            gives("a key", {"public_key": key_of(ALICE).hex()}, text=alice),
            gives("the lowest key", {"public_key": "00" * 32}, text=peer_text(bytes(32))),
            gives("the highest key", {"public_key": "ff" * 32}, text=peer_text(b"\xff" * 32)),
            breaks("empty", "peer-id", text=""),
            breaks("one letter short", "peer-id", text=alice[:-1]),
            breaks("a letter that base58 leaves out", "peer-id", text=alice[:-1] + "0"),
            breaks("an RSA identity", "peer-id", text="QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"),
            breaks("a base58 number that is too large", "peer-id", text="1" + "z" * 51),
            breaks("another multihash", "peer-id", text="2" + alice[1:]),
            breaks("the CID form", "peer-id", text="bafzaajaiaejca" + "a" * 38),
        ],
        "parse-address": [
            gives("IPv4", {"ip": "192.0.2.1", "port": 4717}, text="/ip4/192.0.2.1/tcp/4717"),
            gives("IPv6", {"ip": "2001:db8::1", "port": 1}, text="/ip6/2001:db8::1/tcp/1"),
            breaks("a name", "address", text="/dns4/example.org/tcp/4717"),
            breaks("no port", "address", text="/ip4/192.0.2.1/tcp"),
            breaks("a port that is too high", "address", text="/ip4/192.0.2.1/tcp/65536"),
            breaks("a port with a sign", "address", text="/ip4/192.0.2.1/tcp/+1"),
            breaks("a port with a zero before it", "address", text="/ip4/192.0.2.1/tcp/04717"),
            breaks("UDP", "address", text="/ip4/192.0.2.1/udp/4717"),
            breaks("an IPv6 address that is not in its shortest form", "address", text="/ip6/2001:0db8::1/tcp/1"),
            breaks("IPv6 in upper case", "address", text="/ip6/2001:DB8::1/tcp/1"),
            breaks("IPv4 written as IPv6", "address", text="/ip6/::ffff:192.0.2.1/tcp/1"),
            breaks("IPv4 written as IPv6, in hex", "address", text="/ip6/::ffff:c000:201/tcp/1"),
            breaks("a zone", "address", text="/ip6/fe80::1%eth0/tcp/1"),
            breaks("IPv6 in the place of IPv4", "address", text="/ip4/::1/tcp/1"),
            breaks("a zero before a number", "address", text="/ip4/192.0.2.01/tcp/1"),
            breaks("something after it", "address", text="/ip4/192.0.2.1/tcp/1/"),
            breaks("very long", "address", text="/ip4/" + "1" * 1000 + "/tcp/1"),
        ],
        "parse-peer-address": [
            gives("where a peer is", {"ip": "192.0.2.1", "port": 4717, "peer": alice}, text=here),
            breaks("no peer", "address", text="/ip4/192.0.2.1/tcp/4717"),
            breaks("a peer that is none", "peer-id", text="/ip4/192.0.2.1/tcp/4717/p2p/alice"),
            breaks("a relay", "address", text=f"/ip4/192.0.2.1/tcp/1/p2p/{alice}/p2p-circuit/p2p/{alice}"),
        ],
    }


def signatures() -> dict[str, list[Case]]:
    secret = Ed25519PrivateKey.from_private_bytes(ALICE)
    key, message = key_of(ALICE), b"hello"
    good = secret.sign(message)
    high_s = good[:32] + (int.from_bytes(good[32:], "little") + ORDER).to_bytes(32, "little")
    identity, order_two = (1).to_bytes(32, "little"), (FIELD - 1).to_bytes(32, "little")
    order_eight = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")

    def verify(says: str, valid: bool, public_key: bytes, text: bytes, signature: bytes) -> Case:
        inputs = {"public_key": public_key.hex(), "message": text.hex(), "signature": signature.hex()}
        return gives(says, {"valid": valid}, **inputs)

    # Under a key of small order, R = S·B holds for any message once the hash's factor vanishes: anybody can sign.
    return {
        "verify": [
            verify("a signature", True, key, message, good),
            verify(
                "RFC 8032 test 1",
                True,
                bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
                b"",
                bytes.fromhex(
                    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
                ),
            ),
            verify("another message", False, key, b"hullo", good),
            verify("another key", False, key_of(BOB), message, good),
            verify("a flipped bit in R", False, key, message, bytes([good[0] ^ 1]) + good[1:]),
            verify("a flipped bit in S", False, key, message, good[:40] + bytes([good[40] ^ 1]) + good[41:]),
            verify("S plus the group order", False, key, message, high_s),
            verify("a signature that is too short", False, key, message, good[:63]),
            verify("a signature that is too long", False, key, message, good + b"\0"),
            verify("the identity as key, which signs everything", False, identity, message, identity + bytes(32)),
            verify("the identity as R under a true key", False, key, message, identity + bytes(32)),
            verify("a key of order two", False, order_two, message, identity + bytes(32)),
            verify("a key of order four", False, bytes(32), message, identity + bytes(32)),
            verify("a key of order eight", False, order_eight, message, identity + bytes(32)),
            verify(
                "the identity spelt with the field's prime added",
                False,
                (FIELD + 1).to_bytes(32, "little"),
                message,
                identity + bytes(32),
            ),
            verify("a key that is no point", False, (2).to_bytes(32, "little"), message, good),
        ],
        "read-key-file": key_files(),
    }


def key_files() -> list[Case]:
    prefix = bytes.fromhex("302e020100300506032b657004220420")
    body = base64.b64encode(prefix + ALICE).decode()

    def pem(inside: str, label: str = "PRIVATE KEY") -> str:
        return f"-----BEGIN {label}-----\n{inside}\n-----END {label}-----\n"

    return [
        gives("PKCS #8 in PEM", {"peer": peer_text(key_of(ALICE))}, text=pem(body)),
        gives("line ends of Windows", {"peer": peer_text(key_of(ALICE))}, text=pem(body).replace("\n", "\r\n")),
        breaks("empty", "key-file", text=""),
        breaks("an encrypted key", "key-file", text=pem(body, "ENCRYPTED PRIVATE KEY")),
        breaks("no base64", "key-file", text=pem("*" * 64)),
        breaks("one byte short", "key-file", text=pem(base64.b64encode(prefix + ALICE[:31]).decode())),
        breaks(
            "an X25519 key",
            "key-file",
            text=pem(base64.b64encode(prefix.replace(b"\x2b\x65\x70", b"\x2b\x65\x6e") + ALICE).decode()),
        ),
        breaks("two keys", "key-file", text=pem(body) * 2),
        breaks("very long", "key-file", text=pem(body) + "\n" * 10_000),
    ]


def envelopes() -> dict[str, list[Case]]:
    good = envelope(ALICE, "test", b"payload")
    inputs: dict[str, Any] = {"domain": "test", "payload_bytes_max": 64}
    raw = Ed25519PrivateKey.from_private_bytes(ALICE)
    return {
        "open-envelope": [
            gives(
                "an envelope", {"signer": key_of(ALICE).hex(), "payload": b"payload".hex()}, bytes=good.hex(), **inputs
            ),
            gives(
                "a field that is not known",
                {"signer": key_of(ALICE).hex(), "payload": b"payload".hex()},
                bytes=envelope(ALICE, "test", b"payload", note="hello").hex(),
                **inputs,
            ),
            breaks("signed for another use", "signature", bytes=envelope(ALICE, "tent", b"payload").hex(), **inputs),
            breaks(
                "domain and payload divided elsewhere",
                "signature",
                bytes=envelope(ALICE, "testp", b"ayload", payload=b"payload").hex(),
                **inputs,
            ),
            breaks(
                "another payload",
                "signature",
                bytes=envelope(ALICE, "test", b"payload", payload=b"qayload").hex(),
                **inputs,
            ),
            breaks(
                "another signer",
                "signature",
                bytes=envelope(ALICE, "test", b"payload", signer=key_of(BOB)).hex(),
                **inputs,
            ),
            breaks(
                "signed without the domain",
                "signature",
                bytes=envelope(ALICE, "test", b"payload", signature=raw.sign(b"payload")).hex(),
                **inputs,
            ),
            breaks(
                "signed as libp2p signs its envelopes",
                "signature",
                bytes=envelope(ALICE, "test", b"payload", signature=raw.sign(b"\x04test\x00\x07payload")).hex(),
                **inputs,
            ),
            breaks(
                "a key that anybody can sign for",
                "signature",
                bytes=envelope(
                    ALICE, "test", b"payload", signer=b"\x01" + bytes(31), signature=b"\x01" + bytes(63)
                ).hex(),
                **inputs,
            ),
            breaks("a payload over its bound", "field-range", bytes=envelope(ALICE, "test", bytes(65)).hex(), **inputs),
            breaks("no payload", "field-range", bytes=envelope(ALICE, "test", b"").hex(), **inputs),
            breaks(
                "an envelope over its bound",
                "envelope-long",
                bytes=envelope(ALICE, "test", b"payload", note=bytes(300)).hex(),
                **inputs,
            ),
            breaks(
                "a signature that is too short",
                "field-range",
                bytes=envelope(ALICE, "test", b"payload", signature=bytes(63)).hex(),
                **inputs,
            ),
            breaks(
                "a signature that is text",
                "field-type",
                bytes=envelope(ALICE, "test", b"payload", signature="x" * 64).hex(),
                **inputs,
            ),
            breaks(
                "no signer",
                "field-missing",
                bytes=record("p2phub signed", {"payload": b"x", "signature": bytes(64)}).hex(),
                **inputs,
            ),
            breaks("another kind", "record-kind", bytes=record("p2phub manifest", {}).hex(), **inputs),
            breaks("a later version", "record-version", bytes=record("p2phub signed", {}, version=2).hex(), **inputs),
            breaks(
                "an extension that must be understood",
                "record-critical",
                bytes=envelope(ALICE, "test", b"payload", critical=["delegation"]).hex(),
                **inputs,
            ),
        ]
    }


def names() -> dict[str, list[Case]]:
    good = ["a", "0", "minilm", "all-minilm-l6-v2", "a..b", "x" * 64, "b" + "a" * 57]
    bad = {
        "empty": "",
        "65 letters": "x" * 65,
        "upper case": "Llama",
        "a dot first": ".hidden",
        "a hyphen first": "-rf",
        "a slash": "a/b",
        "an at sign": "a@b",
        "a space": "a b",
        "a line end": "abc\n",
        "not ASCII": "modèle",
        "a digit that is not ASCII": "m٣",
        "a digest": text_of_digest(digest(b"hello")),
        "a digest of a msgpack blob": text_of_digest(digest(b"hello"), b"\x81\x04"),
    }
    return {
        "check-name": [
            *(gives(f"{len(text)} letters: {text[:20]}", {}, text=text) for text in good),
            *(breaks(says, "name", text=text) for says, text in bad.items()),
        ]
    }


def references() -> dict[str, list[Case]]:
    alice = peer_text(key_of(ALICE))
    revision = text_of_digest(digest(b"hello"), b"\x81\x04")
    raw = digest(b"hello").hex()
    ticket = base32(record("p2phub ticket", {"manifest": digest(b"hello")}), "p2phub:")
    return {
        "parse-reference": [
            gives("publisher and name", {"publisher": alice, "name": "minilm", "tag": "main"}, text=f"{alice}/minilm"),
            gives("with a tag", {"publisher": alice, "name": "minilm", "tag": "v1.5"}, text=f"{alice}/minilm@v1.5"),
            gives(
                "with a digest",
                {"publisher": alice, "name": "minilm", "tag": "main", "digest": raw},
                text=f"{alice}/minilm@{revision}",
            ),
            gives("a petname", {"petname": "alice", "name": "minilm", "tag": "main"}, text="alice/minilm"),
            gives(
                "a name as hubs have it",
                {"petname": "meta-llama", "name": "Llama-3.1-8B", "tag": "main"},
                text="meta-llama/Llama-3.1-8B",
            ),
            gives("a name alone", {"name": "gpt2", "tag": "main"}, text="gpt2"),
            gives("a digest alone", {"digest": raw, "tag": "main"}, text=revision),
            gives("a ticket", {"digest": raw, "tag": "main", "ticket": True}, text=ticket),
            *(
                {"says": says, "text": text, "fails": "usage"}
                for says, text in {
                    "empty": "",
                    "no name": f"{alice}/",
                    "no owner": "/minilm",
                    "two slashes": f"{alice}/a/b",
                    "an empty tag": f"{alice}/minilm@",
                    "two tags": f"{alice}/minilm@a@b",
                    "a publisher that is misspelt": f"{alice[:-1]}0/minilm",
                    "a publisher's name in upper case": f"{alice}/MiniLM",
                    "a path": "../minilm",
                    "a URL": "https://example.org/minilm",
                    "a space": "alice/mini lm",
                    "a line end": "alice/minilm\n",
                }.items()
            ),
            breaks("a damaged ticket", "ticket-text", text=ticket + "!"),
        ]
    }


def tickets() -> dict[str, list[Case]]:
    alice, bob = key_of(ALICE), key_of(BOB)
    manifest = digest(b"hello")
    four, six = bytes([192, 0, 2, 1]), bytes.fromhex("20010db8000000000000000000000001")

    def ticket(**fields: object) -> str:
        return base32(record("p2phub ticket", {"manifest": manifest, **fields}), "p2phub:")

    def at(*providers: object) -> str:
        return ticket(providers=list(providers))

    plain = ticket()
    where = f"/ip4/192.0.2.1/tcp/4717/p2p/{peer_text(alice)}"
    many = [[four, port] for port in range(1, 6)]
    return {
        "parse-ticket": [
            gives("a digest alone", {"manifest": manifest.hex(), "release": None, "providers": []}, text=plain),
            gives(
                "a provider and a release, which is not looked into",
                {"manifest": manifest.hex(), "release": b"signed".hex(), "providers": [where]},
                text=ticket(providers=[[alice, [[four, 4717]]]], release=b"signed"),
            ),
            gives(
                "two providers, one at two addresses",
                {
                    "manifest": manifest.hex(),
                    "release": None,
                    "providers": [
                        f"/ip6/2001:db8::1/tcp/1/p2p/{peer_text(bob)}",
                        f"/ip4/192.0.2.1/tcp/1/p2p/{peer_text(bob)}",
                        where,
                    ],
                },
                text=at([bob, [[six, 1], [four, 1]]], [alice, [[four, 4717]]]),
            ),
            gives(
                "a field that is not known",
                {"manifest": manifest.hex(), "release": None, "providers": []},
                text=ticket(note="hello"),
            ),
            breaks("another scheme", "ticket-text", text="p2p:" + plain[7:]),
            breaks("no scheme", "ticket-text", text=plain[7:]),
            breaks("upper case", "ticket-text", text="p2phub:" + plain[7:].upper()),
            breaks("not base32", "ticket-text", text="p2phub:" + "1" * 80),
            breaks("a length that base32 cannot have", "ticket-text", text=plain + "a"),
            breaks("very long", "ticket-text", text="p2phub:" + "a" * 8192),
            breaks("cut off", "msgpack-truncated", text="p2phub:" + plain[7:-16]),
            breaks("no manifest", "field-missing", text=base32(record("p2phub ticket", {}), "p2phub:")),
            breaks("a short digest", "field-range", text=ticket(manifest=bytes(31))),
            breaks("a later version", "record-version", text=base32(record("p2phub ticket", {}, version=2), "p2phub:")),
            breaks("an extension that must be understood", "record-critical", text=ticket(critical=["relay"])),
            breaks("five providers", "field-range", text=at(*([bytes([i]) * 32, [[four, 1]]] for i in range(5)))),
            breaks("no providers, said", "field-range", text=at()),
            breaks("five addresses", "ticket-provider", text=at([alice, many])),
            breaks("no address", "ticket-provider", text=at([alice, []])),
            breaks(
                "a provider twice",
                "ticket-provider",
                text=at(
                    *([alice, [[four, i]]] for i in (1, 2)),
                ),
            ),
            breaks(
                "a provider twice, one between",
                "ticket-provider",
                text=at([alice, [[four, 1]]], [bob, [[four, 1]]], [alice, [[four, 2]]]),
            ),
            breaks("an address twice", "ticket-provider", text=at([alice, [[four, 1], [four, 1]]])),
            breaks("a key that is too short", "ticket-provider", text=at([alice[:31], [[four, 1]]])),
            breaks("port 0", "ticket-address", text=at([alice, [[four, 0]]])),
            breaks("port 65536", "ticket-address", text=at([alice, [[four, 65536]]])),
            breaks("five bytes of IP", "ticket-address", text=at([alice, [[bytes(5), 1]]])),
            breaks("a name", "ticket-address", text=at([alice, [["example.org", 1]]])),
            breaks("multicast", "ticket-address", text=at([alice, [[bytes([224, 0, 0, 1]), 1]]])),
            breaks("0.0.0.0", "ticket-address", text=at([alice, [[bytes(4), 1]]])),
            breaks("IPv4 written as IPv6", "address", text=at([alice, [[bytes(10) + b"\xff\xff" + four, 1]]])),
        ]
    }


def codec() -> dict[str, list[Case]]:
    deep = b"\x91" * 15 + b"\x90"
    return {
        "unpack": [
            gives("nothing in a map", {"value": {}}, bytes="80"),
            gives("nothing in an array", {"value": []}, bytes="90"),
            gives("true", {"value": True}, bytes="c3"),
            gives("the largest number of one byte", {"value": 127}, bytes="7f"),
            gives("the smallest of two", {"value": 128}, bytes="cc80"),
            gives("the largest number", {"value": {"$int": str(2**64 - 1)}}, bytes="cf" + "ff" * 8),
            gives("the smallest number", {"value": {"$int": str(-(2**63))}}, bytes="d3" + "80" + "00" * 7),
            gives("minus 32", {"value": -32}, bytes="e0"),
            gives("text", {"value": "é"}, bytes="a2c3a9"),
            gives("bytes", {"value": {"$hex": "00ff"}}, bytes="c40200ff"),
            gives("32 bytes of text", {"value": "x" * 32}, bytes="d920" + "78" * 32),
            gives("keys by their bytes", {"value": {"Z": 1, "a": 2, "é": 3}}, bytes="83a15a01a16102a2c3a903"),
            gives("16 levels", {"value": _nested(16)}, bytes=deep.hex()),
            breaks("no byte", "msgpack-truncated", bytes=""),
            breaks("an array that ends early", "msgpack-truncated", bytes="9201"),
            breaks("an array that claims four thousand million", "msgpack-truncated", bytes="ddffffffff"),
            breaks("a map that claims as many", "msgpack-truncated", bytes="dfffffffff"),
            breaks("bytes that claim as many", "msgpack-truncated", bytes="c6ffffffff"),
            breaks(
                "a million claimed, a thousand times within each other",
                "msgpack-truncated",
                bytes=[{"repeat": "dd000fffff", "times": 1000}],
            ),
            breaks("something after it", "msgpack-trailing", bytes="8000"),
            breaks("nil", "msgpack-type", bytes="c0"),
            breaks("nil within", "msgpack-type", bytes="81a161c0"),
            breaks("a float", "msgpack-type", bytes="cb3ff0000000000000"),
            breaks("a short float", "msgpack-type", bytes="91ca3f800000"),
            breaks("an extension", "msgpack-type", bytes="d40100"),
            breaks("a time", "msgpack-type", bytes="d6ff00000000"),
            breaks("a time that is none", "msgpack-type", bytes="d7ff" + "ff" * 8),
            breaks("the byte that is never used", "msgpack-type", bytes="c1"),
            breaks("half a character", "msgpack-utf8", bytes="a1c3"),
            breaks("a surrogate", "msgpack-utf8", bytes="a3eda080"),
            breaks("a key that is a number", "msgpack-key", bytes="810101"),
            breaks("a key that is bytes", "msgpack-key", bytes="81c4016101"),
            breaks("a key that is an array", "msgpack-key", bytes="819001"),
            breaks("keys out of order", "msgpack-order", bytes="82a16201a16102"),
            breaks("a shorter key after a longer one that it begins", "msgpack-order", bytes="82a2616101a16101"),
            breaks("a key twice", "msgpack-duplicate", bytes="82a16101a16101"),
            breaks("17 levels", "msgpack-depth", bytes="91" + deep.hex()),
            breaks("ten thousand levels", "msgpack-depth", bytes=[{"repeat": "91", "times": 10_000}, "90"]),
            gives("an array of 32,767 arrays", {}, bytes=["dc7fff", {"repeat": "90", "times": 32_767}]),
            breaks("an array of 32,768 arrays", "msgpack-crowded", bytes=["dc8000", {"repeat": "90", "times": 32_768}]),
            breaks("an array of 40,000 maps", "msgpack-crowded", bytes=["dc9c40", {"repeat": "80", "times": 40_000}]),
            gives(
                "40,000 arrays of 7 bytes each",
                {},
                bytes=["dc9c40", {"repeat": "91c40400000000", "times": 40_000}],
            ),
            breaks("a small number in two bytes", "msgpack-shortest", bytes="cc05"),
            breaks("a positive number with a sign", "msgpack-shortest", bytes="d005"),
            breaks("a short text with a long length", "msgpack-shortest", bytes="d90161"),
            breaks("short bytes with a long length", "msgpack-shortest", bytes="c5000161"),
            breaks("a short array with a long length", "msgpack-shortest", bytes="dc0000"),
            breaks("a short map with a long length", "msgpack-shortest", bytes="de0000"),
        ],
        "unpack-record": [
            gives("a record", {"names": ["a"]}, bytes=record("p2phub test", {"a": 1}).hex(), kind="p2phub test"),
            breaks("another kind", "record-kind", bytes=record("p2phub best", {}).hex(), kind="p2phub test"),
            breaks("no array", "record-kind", bytes="80", kind="p2phub test"),
            breaks("no fields", "record-kind", bytes=pack(["p2phub test", 1]).hex(), kind="p2phub test"),
            breaks(
                "fields that are no map", "record-kind", bytes=pack(["p2phub test", 1, []]).hex(), kind="p2phub test"
            ),
            breaks("version 0", "record-version", bytes=record("p2phub test", {}, version=0).hex(), kind="p2phub test"),
            breaks(
                "a version that is true",
                "record-version",
                bytes=record("p2phub test", {}, version=True).hex(),
                kind="p2phub test",
            ),
            breaks(
                "a critical extension",
                "record-critical",
                bytes=record("p2phub test", {"critical": ["x"]}).hex(),
                kind="p2phub test",
            ),
            breaks(
                "no critical extension, said",
                "field-range",
                bytes=record("p2phub test", {"critical": []}).hex(),
                kind="p2phub test",
            ),
        ],
    }


def _nested(levels: int) -> Any:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def files() -> dict[str, tuple[str, dict[str, list[Case]]]]:
    """Return each file of vectors: path below proto/vectors to (section, cases by operation)."""
    return {
        "identifiers/digests.json": ("identifiers.md §1", digests()),
        "identifiers/peers.json": ("identifiers.md §2, §3", peers()),
        "identifiers/signatures.json": ("identifiers.md §4", signatures()),
        "identifiers/envelopes.json": ("identifiers.md §5", envelopes()),
        "identifiers/names.json": ("identifiers.md §6", {**names(), **references()}),
        "identifiers/tickets.json": ("identifiers.md §7", tickets()),
        "identifiers/codec.json": ("identifiers.md §8, §9", codec()),
    }

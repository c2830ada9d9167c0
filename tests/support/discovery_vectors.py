"""Make proto/vectors/discovery: `python -m tests.support.discovery_vectors`.

Good messages are encoded by libp2p's own generated protobuf classes, not by the code under test; bad ones are broken by
hand. `tests/spec/test_discovery_vectors.py` runs them and sees that the files are what is made here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.support.vectors.build import VECTORS

Case = dict[str, Any]
FOLDER = VECTORS / "discovery"
ALICE = bytes(range(32))
KEY = b"\x12\x20" + hashlib.sha256(b"p2phub provider v1" + b"\x2a" * 32).digest()
RELEASE_KEY = b"/p2phub/" + b"0" * 64
AT = "/ip4/203.0.113.7/tcp/4717"
AT6 = "/ip6/2001:db8::7/tcp/4717"
PORT_FIELD = b"\xc8\x3f"  # 1017, varint


def peer_id(public_key: bytes = ALICE) -> bytes:
    return bytes.fromhex("002408011220") + public_key


def multiaddr(text: str) -> bytes:
    from multiaddr import Multiaddr  # type: ignore[import-untyped]

    return bytes(Multiaddr(text).to_bytes())


def message(
    kind: int,
    key: bytes = b"",
    *,
    record: tuple[bytes, bytes] | None = None,
    closer: list[tuple[bytes, list[bytes]]] | None = None,
    providers: list[tuple[bytes, list[bytes]]] | None = None,
    port: bytes = b"",
) -> bytes:
    from libp2p.kad_dht.pb.kademlia_pb2 import Message

    made = Message()
    made.type = kind  # type: ignore[assignment]
    if key:
        made.key = key
    if record is not None:
        made.record.key, made.record.value = record
    for into, peers in ((made.closerPeers, closer), (made.providerPeers, providers)):
        for identity, addresses in peers or []:
            peer = into.add()
            peer.id = identity
            peer.addrs.extend(addresses)
    return bytes(made.SerializeToString()) + (PORT_FIELD + port if port else b"")


def gives(says: str, data: bytes, give: dict[str, Any], **more: Any) -> Case:
    return {"says": says, "bytes": data.hex(), **more, "gives": give}


def breaks(says: str, rule: str, data: bytes, **more: Any) -> Case:
    return {"says": says, "bytes": data.hex(), **more, "breaks": rule}


def question(kind: str, key: bytes = b"", **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "key": key.hex(), "value": "", "addresses": [], "port": 0, "sender": None, **fields}


def alice() -> str:
    from p2phub.identity import PeerId

    return str(PeerId(ALICE))


def questions() -> list[Case]:
    at, at6 = multiaddr(AT), multiaddr(AT6)
    announce = message(2, KEY, providers=[(peer_id(), [at, at6])], port=b"\xed\x24")
    find, asks_for_alice = message(4, peer_id()), question("FIND_NODE", peer_id())
    return [
        gives("a ping", message(5), question("PING")),
        gives("who is close to this peer", find, question("FIND_NODE", peer_id())),
        gives("the same from a server", find + PORT_FIELD + b"\xed\x24", question("FIND_NODE", peer_id(), port=4717)),
        gives("who provides this", message(3, KEY), question("GET_PROVIDERS", KEY)),
        gives(
            "I provide this",
            announce,
            question("ADD_PROVIDER", KEY, addresses=[AT, AT6], port=4717, sender=alice()),
        ),
        gives("which release is this", message(1, RELEASE_KEY), question("GET_VALUE", RELEASE_KEY)),
        gives(
            "keep this release",
            message(0, RELEASE_KEY, record=(RELEASE_KEY, b"signed")),
            question("PUT_VALUE", RELEASE_KEY, value=b"signed".hex()),
        ),
        gives(
            "a field of a later version is skipped",
            find + bytes.fromhex("fa0703aabbcc"),
            question("FIND_NODE", peer_id()),
        ),
        gives("fixed-width fields are skipped", find + bytes.fromhex("a50601020304"), asks_for_alice),
        gives(
            "addresses that are not IP and TCP are left out",
            message(
                2,
                KEY,
                providers=[
                    (
                        peer_id(),
                        [
                            multiaddr("/dns4/example.org/tcp/4717"),
                            multiaddr("/ip4/203.0.113.7/udp/4717/quic-v1"),
                            multiaddr(AT + "/ws"),
                            multiaddr("/ip4/203.0.113.7/tcp/0"),
                            b"\xff\xff",
                            multiaddr(AT + "/p2p/" + alice()),
                        ],
                    )
                ],
            ),
            question("ADD_PROVIDER", KEY, addresses=[AT], sender=alice()),
        ),
        gives(
            "of more than 16 addresses the first are taken",
            message(2, KEY, providers=[(peer_id(), [multiaddr(f"/ip4/203.0.113.7/tcp/{n}") for n in range(1, 30)])]),
            question(
                "ADD_PROVIDER", KEY, addresses=[f"/ip4/203.0.113.7/tcp/{n}" for n in range(1, 17)], sender=alice()
            ),
        ),
        gives("a key of 80 bytes", message(3, b"k" * 80), question("GET_PROVIDERS", b"k" * 80)),
        breaks("a key of 81 bytes", "dht-key-length", message(3, b"k" * 81)),
        breaks("no key", "dht-key-length", message(4)),
        breaks("no message has this type", "dht-type", bytes.fromhex("0863")),
        breaks("a field longer than the message", "dht-truncated", bytes.fromhex("0804127f00")),
        breaks("a number that does not end in the message", "dht-varint", bytes.fromhex("08ff")),
        breaks("a number of more than 10 bytes", "dht-varint", bytes.fromhex("08" + "ff" * 10 + "01")),
        breaks("a number of more than 64 bits", "dht-varint", bytes.fromhex("08" + "ff" * 9 + "7f")),
        breaks("a group", "dht-wire-type", bytes.fromhex("0b0c")),
        breaks("field number 0", "dht-wire-type", bytes.fromhex("0200")),
        breaks("a record for another key", "dht-record-key", message(0, RELEASE_KEY, record=(KEY, b"signed"))),
        breaks("a record without a value", "dht-value-length", message(0, RELEASE_KEY, record=(RELEASE_KEY, b""))),
        breaks("a record over 4 KiB", "dht-value-length", message(0, RELEASE_KEY, record=(RELEASE_KEY, b"x" * 4097))),
        breaks("an announcement that names nobody", "dht-no-provider", message(2, KEY)),
        breaks(
            "an announcement by a key of another kind",
            "dht-no-provider",
            message(2, KEY, providers=[(bytes.fromhex("1220") + bytes(32), [at])]),
        ),
        breaks("65 peers in a list", "dht-contacts", message(2, KEY, providers=[(peer_id(), [])] * 65)),
    ]


def replies() -> list[Case]:
    at = multiaddr(AT)
    contact = {"peer": alice(), "addresses": [AT]}
    ask = question("GET_PROVIDERS", KEY)
    get = question("GET_VALUE", RELEASE_KEY)
    too_long = message(1, RELEASE_KEY, record=(RELEASE_KEY, b"x" * 4097))
    nothing = {"closer": [], "providers": [], "value": ""}
    return [
        gives("nothing known", message(3, KEY), nothing, question=ask),
        gives(
            "a closer peer and a provider",
            message(3, KEY, closer=[(peer_id(), [at])], providers=[(peer_id(), [at])]),
            {"closer": [contact], "providers": [contact], "value": ""},
            question=ask,
        ),
        gives(
            "a peer with a key of another kind is left out",
            message(3, KEY, closer=[(bytes.fromhex("1220") + bytes(32), [at]), (peer_id(), [at])]),
            {**nothing, "closer": [contact]},
            question=ask,
        ),
        gives(
            "a release",
            message(1, RELEASE_KEY, record=(RELEASE_KEY, b"signed")),
            {**nothing, "value": b"signed".hex()},
            question=get,
        ),
        breaks("an answer to another question", "dht-other-answer", message(4, KEY), question=ask),
        breaks("an answer about another key", "dht-other-answer", message(3, RELEASE_KEY), question=ask),
        breaks(
            "a record over 4 KiB",
            "dht-value-length",
            too_long,
            question=get,
        ),
        breaks("65 providers", "dht-contacts", message(3, KEY, providers=[(peer_id(), [])] * 65), question=ask),
    ]


def keys() -> list[Case]:
    return [
        {"says": "a manifest", "manifest": "2a" * 32, "gives": {"key": KEY.hex()}},
        {
            "says": "another manifest",
            "manifest": "00" * 32,
            "gives": {"key": (b"\x12\x20" + hashlib.sha256(b"p2phub provider v1" + bytes(32)).digest()).hex()},
        },
    ]


def positions() -> list[Case]:
    return [
        {"says": "a key", "key": KEY.hex(), "gives": {"position": hashlib.sha256(KEY).hexdigest()}},
        {"says": "a peer", "key": peer_id().hex(), "gives": {"position": hashlib.sha256(peer_id()).hexdigest()}},
    ]


def texts() -> dict[str, str]:
    """Return file name to the text that must stand there."""
    files = {
        "messages.json": ("§1", {"decode-question": questions(), "decode-reply": replies()}),
        "keys.json": ("§2", {"provider-key": keys(), "position": positions()}),
    }
    result = {}
    for name, (section, groups) in files.items():
        parts = [
            f'{{"operation": {json.dumps(operation)}, "cases": [\n'
            + ",\n".join(json.dumps(case) for case in cases)
            + "\n]}"
            for operation, cases in groups.items()
        ]
        source = json.dumps(f"proto/discovery.md {section}")
        result[name] = f'{{"source": {source}, "groups": [\n' + ",\n".join(parts) + "\n]}\n"
    return result


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, "utf-8")

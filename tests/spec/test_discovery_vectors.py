"""The vectors of proto/discovery.md hold, its worked example is true, and libp2p's own classes read what we write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import Digest
from p2phub.discovery import (
    Contact,
    Kind,
    Question,
    Reply,
    decode_question,
    decode_reply,
    encode_question,
    encode_reply,
    position,
    provider_key,
)
from p2phub.errors import Malformed
from p2phub.identity import Address, PeerId, parse_address, parse_peer_id
from tests.support.discovery_vectors import ALICE, FOLDER, KEY, texts
from tests.support.json_schema import faults

PROTO = Path(__file__).parents[2] / "proto"
PAGE = (PROTO / "discovery.md").read_text("utf-8")
SCHEMA = json.loads((PROTO / "discovery.schema.json").read_text("utf-8"))


def question_of(fields: dict[str, Any]) -> Question:
    return Question(
        Kind[fields["kind"]],
        bytes.fromhex(fields["key"]),
        bytes.fromhex(fields["value"]),
        tuple(map(parse_address, fields["addresses"])),
        fields["port"],
        None if fields["sender"] is None else parse_peer_id(fields["sender"]),
    )


def shown_question(question: Question) -> dict[str, Any]:
    return {
        "kind": question.kind.name,
        "key": question.key.hex(),
        "value": question.value.hex(),
        "addresses": [str(each) for each in question.addresses],
        "port": question.port,
        "sender": None if question.sender is None else str(question.sender),
    }


def shown_contacts(contacts: tuple[Contact, ...]) -> list[dict[str, Any]]:
    return [{"peer": str(each.peer), "addresses": [str(address) for address in each.addresses]} for each in contacts]


def run(operation: str, case: dict[str, Any]) -> dict[str, Any]:
    match operation:
        case "decode-question":
            return shown_question(decode_question(bytes.fromhex(case["bytes"])))
        case "decode-reply":
            reply = decode_reply(bytes.fromhex(case["bytes"]), question_of(case["question"]))
            return {
                "closer": shown_contacts(reply.closer),
                "providers": shown_contacts(reply.providers),
                "value": reply.value.hex(),
            }
        case "provider-key":
            return {"key": provider_key(Digest(bytes.fromhex(case["manifest"]))).hex()}
        case "position":
            return {"position": f"{position(bytes.fromhex(case['key'])):064x}"}
    raise AssertionError(operation)


def cases() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for group in json.loads(path.read_text("utf-8"))["groups"]:
            for case in group["cases"]:
                found.append(pytest.param(group["operation"], case, id=f"{group['operation']}: {case['says']}"))
    return found


@pytest.mark.parametrize(("operation", "case"), cases())
def test_what_a_vector_of_discovery_gives_or_breaks_is_so(operation: str, case: dict[str, Any]) -> None:
    if "breaks" in case:
        with pytest.raises(Malformed) as refused:
            run(operation, case)
        assert refused.value.rule == case["breaks"]
    else:
        assert run(operation, case) == case["gives"]


def test_good_vectors_obey_the_schema() -> None:
    for operation, shape in (("decode-question", "question"), ("decode-reply", "reply")):
        for parameters in cases():
            found, case = parameters.values
            if found == operation and "gives" in case:
                assert not list(faults(case["gives"], SCHEMA["$defs"][shape], SCHEMA)), case["says"]


def test_the_files_are_what_is_made_by_other_means_than_the_code() -> None:
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")} == texts()


def test_each_rule_of_the_page_has_a_vector_or_another_test() -> None:
    named = set()
    for table in re.findall(r"\| rule \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", PAGE):
        named |= {re.findall(r"`([a-z0-9-]+)`", row)[0] for row in table.splitlines()}
    broken = {case["breaks"] for _, case in (parameters.values for parameters in cases()) if "breaks" in case}
    # These two are not of one message: tests/unit/discovery and the next test here.
    assert named - {"dht-message-length", "dht-release-key"} == broken


def test_a_message_over_the_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(Malformed) as refused:
        decode_question(b"\xff" * (65 << 10))
    assert refused.value.rule == "dht-message-length"


def test_the_worked_example_is_what_is_written() -> None:
    dump = re.search(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert dump is not None
    data = bytes.fromhex("".join(line.partition("#")[0] for line in dump[1].splitlines()))
    alice = PeerId(ALICE)
    question = Question(Kind.ADD_PROVIDER, KEY, addresses=(Address("203.0.113.7", 4717),), port=4717, sender=alice)
    assert decode_question(data) == question
    assert encode_question(question) == data


def test_libp2ps_own_classes_read_what_we_write() -> None:
    from libp2p.kad_dht.pb.kademlia_pb2 import Message

    alice = Contact(PeerId(ALICE), (Address("203.0.113.7", 4717), Address("2001:db8::7", 1)))
    for written in (
        encode_question(Question(Kind.PUT_VALUE, b"/p2phub/x", b"signed", port=4717)),
        encode_reply(Reply(Kind.GET_VALUE, b"/p2phub/x", b"signed", (alice,), (alice,))),
    ):
        read = Message()
        read.ParseFromString(written)
        assert read.key == b"/p2phub/x" == read.record.key
        assert read.record.value == b"signed"
        for peer in (*read.closerPeers, *read.providerPeers):
            assert peer.id == alice.peer.raw
            assert len(peer.addrs) == 2
    assert [peer.id for peer in read.closerPeers] == [alice.peer.raw]

"""Run proto/vectors/transfer, and hold specification, schema, vectors and code to the same rules."""

from __future__ import annotations

import json
import re
import socket
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import ChunkList, ChunkTable, Digest, RangeSet, unpack
from p2phub.errors import ChunkMismatch, Malformed, PeerGone, PeerRefused, ProtocolViolation
from p2phub.identity import PeerAddress, PeerId
from p2phub.net.channel import Progress
from p2phub.net.records import Records
from p2phub.net.sealing import RECORD_ROOM, Opener, Sealer
from p2phub.wire import BulkProvider, BulkRequester, ControlClient, ControlServer, codec
from p2phub.wire import messages as m
from p2phub.wire.framing import header_length
from p2phub.wire.requester import BlobArrived, ChunksArrived, ChunksRefused, FlightArrived, RequesterEvent
from tests.support.hosts import key_of
from tests.support.transfer_vectors import FILES, FOLDER, SERVED, example, text_of

ROOT = Path(__file__).parents[2]
CONTENT = example()
Case = dict[str, Any]
CASES = [
    (group["operation"], {**group, **case})
    for name in FILES
    for group in json.loads((FOLDER / name).read_text())["groups"]
    for case in group["cases"]
]
DECODERS: dict[str, Callable[[bytes], object]] = {
    "bulk-request": codec.decode_bulk_request,
    "bulk-answer": codec.decode_bulk_answer,
    "control-request": codec.decode_control_request,
    "control-answer": codec.decode_control_answer,
}


@pytest.mark.parametrize(("operation", "case"), CASES, ids=[f"{kind}: {case['says']}" for kind, case in CASES])
def test_a_vector_holds(operation: str, case: Case) -> None:
    run = RUNNERS[operation]
    if "breaks" not in case:
        run(case)
        return
    with pytest.raises((Malformed, ProtocolViolation, PeerGone, ChunkMismatch)) as caught:
        run(case)
    error = caught.value
    if isinstance(error, ChunkMismatch):
        assert case["breaks"] == f"mismatch: {error.file} {error.chunk}"
    else:
        assert f"[{case['breaks']}]" in str(error)


def frame_length(case: Case) -> None:
    assert (
        case["gives"] == {"length": header_length(bytes.fromhex(case["bytes"]))}
        if "gives" in case
        else header_length(bytes.fromhex(case["bytes"]))
    )


def message(decode: Callable[[bytes], object]) -> Callable[[Case], None]:
    def run(case: Case) -> None:
        found = decode(bytes.fromhex(case["bytes"]))
        gives = dict(case["gives"])
        assert gives.pop("message", type(found).__name__) == type(found).__name__
        for name, value in gives.items():
            assert plain(getattr(found, name)) == value

    return run


def plain(value: object) -> object:
    match value:
        case Digest():
            return value.raw.hex()
        case bytes():
            return value.hex()
        case RangeSet():
            return [list(run) for run in value.runs]
        case PeerAddress() | PeerId():
            return str(value)
        case tuple():
            return [plain(item) for item in value]
        case _:
            return value


def requester(case: Case) -> None:
    machine = BulkRequester(CONTENT.root, case["prefix"])
    machine.open()
    told: list[str] = []
    for step in case["script"]:
        if "wants" in step:
            machine.use(CONTENT.table, CONTENT.path_of)
            machine.want([CONTENT.table.chunk(index) for index in step["wants"]])
        elif "asks" in step:
            machine.ask([(Digest(bytes.fromhex(digest)), most) for digest, most in step["asks"]])
        else:
            data = bytes.fromhex(step["comes"])
            while data:
                if not machine.need:
                    raise machine.unasked()
                if len(data) < machine.need:
                    break
                part, data = data[: machine.need], data[machine.need :]
                try:
                    told += map(tell, machine.receive(memoryview(part)))
                except PeerRefused as exc:
                    told.append(f"refused: {exc.reason}")
    assert told == case["gives"]


def tell(event: RequesterEvent) -> str:
    match event:
        case FlightArrived(blobs, prefix, _):
            return " ".join([f"flight {len(blobs)} blobs, chunks", *(str(index) for index, _ in prefix)])
        case ChunksArrived(refs, data):
            assert bytes(data) == b"".join(CONTENT.chunk(ref.index) for ref in refs)
            return " ".join(["chunks", *(str(ref.index) for ref in refs)])
        case BlobArrived():
            return "blob"
        case ChunksRefused(refs, reason):
            return " ".join(["refused", *(str(ref.index) for ref in refs)]) + f": {reason}"


def provider(case: Case) -> None:
    table = ChunkTable([ChunkList(array("I", lengths), bytes(32 * len(lengths))) for lengths in SERVED])
    machine = BulkProvider()
    told: list[str] = []
    for frame in case["script"]:
        data = bytes.fromhex(frame)
        while data:
            part, data = data[: machine.need], data[machine.need :]
            request = machine.receive(part)
            if request is None:
                continue
            told.append(type(request).__name__)
            if isinstance(request, m.Open):
                machine.serve(table, RangeSet.whole(len(table)))
            if isinstance(request, m.Want):
                machine.stretches(request)
            machine.answered()
    assert told == case["gives"]


def control_client(case: Case) -> None:
    machine = ControlClient()
    if case["asks"]:
        machine.ask(m.Ping())
    answer = machine.receive(bytes.fromhex(case["comes"]))
    assert [type(answer).__name__] == case["gives"]


def control_server(case: Case) -> None:
    data = b"".join(bytes.fromhex(part["repeat"]) * part["times"] for part in case["comes"])
    assert [type(request).__name__ for request in ControlServer().receive(data)] == case["gives"]


def seal(case: Case) -> None:
    secret = bytes.fromhex(case["secret"])
    sealer = Sealer(secret[:32] if case["who"] == "dialler" else secret[32:])
    room, said = memoryview(bytearray(RECORD_ROOM)), b""
    for data in case["data"]:
        said += room[: sealer.seal(memoryview(bytes.fromhex(data)), room)]
    assert said.hex() == case["gives"]


def records(case: Case) -> None:
    """The listener's side: what the dialler sealed comes."""
    secret = bytes.fromhex(case["secret"])
    near, far = socket.socketpair()
    with near, far:
        far.sendall(bytes.fromhex(case["comes"]))
        far.shutdown(socket.SHUT_WR)
        channel = Records(near, Sealer(secret[32:]), Opener(secret[:32]), key_of("ann").peer_id, Progress())
        found: list[str] = []
        for count in case["reads"]:
            into = memoryview(bytearray(count))
            channel.fill(into)
            found.append(into.hex())
        assert found == case["gives"]


RUNNERS: dict[str, Callable[[Case], None]] = {
    "frame-length": frame_length,
    "seal": seal,
    "records": records,
    **{name: message(decode) for name, decode in DECODERS.items()},
    "requester": requester,
    "provider": provider,
    "control-client": control_client,
    "control-server": control_server,
}


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_what_their_maker_makes(name: str) -> None:
    assert (FOLDER / name).read_text() == text_of(name)


def rules_of_the_specification() -> set[str]:
    text = (ROOT / "proto" / "transfer.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `") or "(`too-many`)" in line]
    cells = [row.split("|")[1] if row.startswith("|") else row for row in rows]
    named = {rule for cell in cells for rule in re.findall(r"`([a-z-]+)`", cell)}
    return named - {
        "open",
        "want",
        "ask",
        "opening",
        "chunks",
        "blobs",
        "refuse",
        "ping",
        "get-release",
        "probe",
        "get-news",
    }


def test_every_rule_of_the_specification_is_broken_by_a_vector() -> None:
    broken = {case["breaks"].split(":")[0] for _, case in CASES if "breaks" in case}
    assert rules_of_the_specification() <= broken | {"msgpack-"}
    assert {rule for rule in broken if not rule.startswith("msgpack")} - {"mismatch"} == rules_of_the_specification()


def test_every_rule_of_the_code_stands_in_the_specification() -> None:
    found: set[str] = set()
    net = ROOT / "p2phub" / "net"
    for path in (*(ROOT / "p2phub" / "wire").glob("*.py"), net / "sealing.py", net / "records.py"):
        text = path.read_text()
        found |= set(re.findall(r"""Malformed\(\s*"([a-z-]+)\"""", text))
        found |= set(re.findall(r"""_violation\(\s*"([a-z-]+)\"""", text))
        found |= set(re.findall(r"""\[([a-z]+-[a-z]+|unasked)\]["']""", text))
    assert found == rules_of_the_specification()


def test_the_schema_names_every_message_and_field() -> None:
    schema = json.loads((ROOT / "proto" / "transfer.schema.json").read_text())
    kinds = {
        definition["properties"]["t"]["const"]: set(definition["properties"]) - {"t"}
        for definition in schema["$defs"].values()
        if "t" in definition.get("properties", {})
    }
    seen: dict[str, set[str]] = {}
    for kind, case in CASES:
        if kind in DECODERS and "gives" in case:
            values = unpack(bytes.fromhex(case["bytes"]))
            assert isinstance(values, dict)
            name = values.pop("t")
            assert isinstance(name, str)
            seen.setdefault(name, set()).update(key for key in values if key != "zeal")
    assert seen == kinds


def test_the_example_of_the_specification_is_true() -> None:
    text = (ROOT / "proto" / "transfer.md").read_text()
    digest = Digest(bytes(range(32)))
    shown = re.findall(r"^    (0000[0-9a-f]{4} .*)$", text, re.MULTILINE)
    assert len(shown) == 2
    for line, frame in zip(
        shown, (codec.encode(m.Open(digest, 65536)), codec.encode(m.Want(((7, 3), (0, 1))))), strict=True
    ):
        written = line.replace("000102…1f", digest.raw.hex()).replace(" ", "")
        assert written == frame.hex()

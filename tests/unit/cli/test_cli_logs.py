"""Logs as JSON: one object a line, all of stderr, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from p2phub import api
from p2phub.cli.logs import as_json, log_as_json, start_logging, without_secrets
from p2phub.cli.output import Output
from p2phub.errors import UsageError
from tests.support.command_line import Cli, FakeHub
from tests.support.covers import covers

HUB_TOKEN = "hf_" + "aZ09" * 8
OUR_TOKEN = "p2phub_" + "0123456789abcdef" * 2

READY = api.Ready("12D3KooWnode", "12D3KooWpublisher", ["/ip4/127.0.0.1/tcp/1"])


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    stderr = io.StringIO()
    output = Output(as_json=False, stdout=io.StringIO(), stderr=stderr)
    start_logging(output, verbose=1)
    log_as_json(output)
    yield stderr
    logging.getLogger("p2phub").handlers.clear()


def lines(stderr: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_a_record_is_an_object_with_its_moment_and_its_own_fields(stderr: io.StringIO) -> None:
    logging.getLogger("p2phub.net").info("%d links to %s", 3, "ann", extra={"links": 3, "peer": "ann", "near": None})
    [told] = lines(stderr)
    moment = datetime.fromisoformat(told.pop("ts"))
    assert moment.utcoffset() == timedelta(0)
    assert told == {
        "level": "info",
        "logger": "p2phub.net",
        "msg": "3 links to ann",
        "links": 3,
        "peer": "ann",
        "near": None,
    }


def test_a_moment_is_told_as_rfc_3339_in_utc() -> None:
    record = logging.makeLogRecord({"created": 1_700_000_000.25})
    assert json.loads(as_json(record))["ts"] == "2023-11-14T22:13:20.250Z"


def test_a_traceback_stands_in_the_object_of_its_record(stderr: io.StringIO) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("p2phub").exception("it broke")
    [told] = lines(stderr)
    assert told["msg"] == "it broke"
    assert told["exc"].splitlines()[-1] == "ValueError: why"


@covers("T59")
def test_what_strangers_sent_makes_no_line_of_its_own() -> None:
    # Not by a logger: pytest sends what is logged between its processes, and half a character is no text.
    line = as_json(logging.makeLogRecord({"msg": "from %s", "args": ('a\n{"level": "error"}\x1b[2J\u2028\udc80',)}))
    assert json.loads(line)["msg"].startswith("from a")
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"with {HUB_TOKEN}!", "with hf_[left out]!"),
        (f"POST /api/xet/{'0a' * 24}/v1/shards: no", "POST /api/xet/[left out]/v1/shards: no"),
        (f"PUT /api/uploads/{'0a' * 24}: no", "PUT /api/uploads/[left out]: no"),
        (f"?token={OUR_TOKEN}", "?token=p2phub_[left out]"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer [left out]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [left out]"),
        ("hf_home is set, p2phub_sent_bytes_total too", "hf_home is set, p2phub_sent_bytes_total too"),
    ],
)
def test_what_looks_like_a_token_is_left_out(stderr: io.StringIO, text: str, kept: str) -> None:
    assert without_secrets(text) == kept
    logging.getLogger("p2phub").info(text, extra={"also": text})
    [told] = lines(stderr)
    assert (told["msg"], told["also"]) == (kept, kept)


def test_plain_logs_leave_it_out_too() -> None:
    stderr = io.StringIO()
    start_logging(Output(as_json=False, stdout=io.StringIO(), stderr=stderr), verbose=1)
    logging.getLogger("p2phub").info("with %s", HUB_TOKEN)
    logging.getLogger("p2phub").handlers.clear()
    assert HUB_TOKEN not in stderr.getvalue()
    assert "hf_[left out]" in stderr.getvalue()


@pytest.mark.parametrize("how", ["option", "settings"])
def test_a_node_writes_all_of_stderr_so_if_asked(
    cli: Cli, hub: FakeHub, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "settings":
        monkeypatch.setenv("P2PHUB_LOG", "json")
    hub.events = [READY, api.Stopped()]
    said = cli("node", *(["--log-json"] if how == "option" else []))
    assert said.code == 0
    told = [json.loads(line) for line in said.err.splitlines()]
    assert told
    assert {each["logger"] for each in told} == {"p2phub.cli"}


def test_why_a_node_ended_is_an_error_there(cli: Cli, hub: FakeHub) -> None:
    hub.error = UsageError("the port is taken", hint="another one")
    said = cli("node", "--log-json")
    told = [(each["level"], each["msg"]) for each in map(json.loads, said.err.splitlines())]
    assert (said.code, told) == (2, [("error", "p2phub: the port is taken"), ("info", "  try: another one")])


def test_a_node_writes_lines_for_people_otherwise(cli: Cli, hub: FakeHub) -> None:
    hub.events = [READY]
    assert cli("node").err.startswith("It publishes as")


@pytest.fixture
def sentences() -> Iterator[Callable[..., str]]:
    def logged(**how: Any) -> str:
        stderr = io.StringIO()
        start_logging(Output(as_json=False, stdout=io.StringIO(), stderr=stderr), **how)
        logging.getLogger("p2phub.store.sharing.attached").warning("nothing is taken from /mnt/lab")
        return stderr.getvalue()

    yield logged
    logging.getLogger("p2phub").handlers.clear()


def test_a_warning_of_a_command_that_ends_is_a_sentence_and_what_it_tells_itself_is_not_said_twice(
    sentences: Callable[..., str],
) -> None:
    assert sentences(verbose=0, dated=False) == "WARNING: nothing is taken from /mnt/lab\n"
    assert sentences(verbose=0, dated=False, told="p2phub.store.sharing") == ""
    assert sentences(verbose=0, dated=False, told="p2phub.store.share") != ""
    for how in ({"verbose": 0, "dated": True}, {"verbose": 1, "dated": False, "told": "p2phub.store.sharing"}):
        assert "WARNING p2phub.store.sharing.attached: nothing is taken from /mnt/lab" in sentences(**how)

"""How a command ends when it cannot end well: exit codes, one `failed` object, what people are told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from p2phub import api, errors
from p2phub.cli.advice import advice
from p2phub.cli.entry import end_early
from p2phub.cli.main import main
from p2phub.cli.running import _end_at_once, the_cause
from tests.support.command_line import ADDRESS, PEER, Cli, FakeHub
from tests.support.house import ROOT

FAULTS = [
    errors.UsageError("m", hint="h"),
    errors.AlreadyRunning("m", hint="h"),
    errors.NotFound("m", hint="h"),
    errors.NotTrusted("m", hint="h"),
    errors.Damaged("m", hint="h"),
    errors.DiskFull("m", hint="h"),
    errors.NoProvider("m", hint="h"),
    errors.PeerGone("m", hint="h"),
]
CODES = {"UsageError": 2, "AlreadyRunning": 2, "NotFound": 3, "NotTrusted": 4, "Damaged": 5, "DiskFull": 6,
         "NoProvider": 7, "PeerGone": 7}  # fmt: skip


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("command", [["fetch", "m"], ["node"]], ids=lambda words: words[0])
def test_a_fault_gives_its_exit_code_and_one_object(
    error: errors.HubError, command: list[str], cli: Cli, hub: FakeHub
) -> None:
    hub.error = error
    said = cli(*command, "--json")
    assert said.code == CODES[type(error).__name__]
    assert said.objects == [{"event": "failed", "code": said.code, "message": "m", "hint": "h"}]
    people = cli(*command)
    assert people.code == said.code
    assert people.out == ""
    assert people.err.endswith("p2phub: m\n  try: h\n")


def test_a_fault_in_groups_is_told_bare(cli: Cli, hub: FakeHub) -> None:
    found = errors.NotFound("nobody", hint="h")
    hub.error = ExceptionGroup("tasks", [ExceptionGroup("tasks", [found, errors.PeerGone("x")])])
    assert cli("fetch", "m", "--json").objects == [{"event": "failed", "code": 3, "message": "nobody", "hint": "h"}]


def kinds(of: type[errors.HubError]) -> Iterator[type[errors.HubError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", [*kinds(errors.HubError)], ids=lambda kind: kind.__name__)
def test_each_kind_of_fault_has_something_to_try_though_it_says_nothing_itself(kind: type[errors.HubError]) -> None:
    error = kind.__new__(kind)
    errors.HubError.__init__(error, "m")
    assert advice(error)
    errors.HubError.__init__(error, "m", hint="its own")
    assert advice(error) == "its own"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fech", "x"], "no command 'fech'|do you mean fetch? `p2phub --help`"),
        (["frobnicate"], "no command 'frobnicate'|`p2phub --help`"),
        (["fetch", "x", "--frist=a"], "not understood: --frist=a|do you mean --first? `p2phub fetch --help`"),
        (["ls", "--jso"], "not understood: --jso|do you mean --json? `p2phub ls --help`"),
        (["fetch", "x", "--boostrap", "y"], "not understood: --boostrap y|do you mean --bootstrap? `p2phub fetch"),
        (["ls", "x"], "not understood: x|`p2phub ls --help`"),
        (["--boostrap", "y", "ls"], "not understood: --boostrap|do you mean --bootstrap? `p2phub --help`"),
        (["--hom", "/tmp", "ls"], "not understood: --hom|do you mean --home? `p2phub --help`"),
        (["--no-lna", "ls"], "not understood: --no-lna|do you mean --no-lan? `p2phub --help`"),
        (["--frobnicate", "ls"], "not understood: --frobnicate|`p2phub --help`"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_a_word_that_is_misspelt_is_told_what_may_be_meant(words: list[str], said: str, cli: Cli) -> None:
    message, hint = said.split("|")
    failed = cli("--json", *words).last
    assert message in failed["message"]
    assert failed["hint"].startswith(hint)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["help", "fetch"], ["help", "--man"], ["ls"]])
def test_a_process_that_was_started_with_its_output_closed_ends_as_any_other(
    words: list[str], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert main(words) == 0


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("oops"), ExceptionGroup("g", [errors.NotFound("n"), KeyError("oops")])]
)
def test_a_bug_shows_its_traceback_on_stderr_and_exits_with_1(bug: Exception, cli: Cli, hub: FakeHub) -> None:
    hub.error = bug
    said = cli("ls", "--json")
    assert said.code == 1
    assert (said.last["event"], said.last["code"]) == ("failed", 1)
    assert "oops" in said.last["message"]
    assert "Traceback" in said.err
    assert cli("ls").code == 1


def test_of_a_group_a_bug_is_told_before_an_interrupt_and_that_before_a_fault() -> None:
    fault, bug, interrupt = errors.NotFound("n"), ValueError("b"), KeyboardInterrupt()
    assert the_cause(BaseExceptionGroup("g", [fault, interrupt, ExceptionGroup("h", [bug])])) is bug
    assert the_cause(BaseExceptionGroup("g", [fault, interrupt])) is interrupt
    assert the_cause(ExceptionGroup("g", [fault])) is fault


USAGE = [
    ["bogus"],
    ["fetch"],
    ["fetch", "a", "b"],
    ["fetch", "m", "--bogus"],
    ["fetch", "m", "--provider", "/ip4/127.0.0.1/tcp/4717"],
    ["fetch", "m", "--provider", "host:4717"],
    ["info", "m", "--provider", f"/dns4/example.org/tcp/1/p2p/{PEER}"],
    ["fetch", "m", "--mirror", "models.example.org"],
    ["fetch", "m", "--mirror", "http://models.example.org/x"],
    ["fetch", "m", "--mirror", "https://models.example.org/{path}"],
    ["publish", "m", "--name", "m", "--private", "--mirror-files", "www"],
    ["publish", "m"],
    ["publish", "m", "--name", "No Good"],
    ["publish", "m", "--name", "m", "--tag", "/"],
    ["publish", "m", "--name", "m", "--kind", "song"],
    ["publish", "m", "--name", "m", "--private", "--allow", "bob"],
    ["publish", "m", "--name", "m", "--allow", PEER],
    ["name"],
    ["name", "add", "alice"],
    ["name", "list", "alice"],
    ["key", "burn"],
    ["ls", "--home"],
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_words_that_make_no_sense_are_a_usage_error_before_anything_is_done(
    words: Sequence[str], cli: Cli, hub: FakeHub
) -> None:
    said = cli("--json", *words)
    assert said.code == 2
    assert [(each["event"], each["code"]) for each in said.objects] == [("failed", 2)]
    assert said.last["hint"]
    assert said.err == ""
    assert hub.opened == []
    people = cli(*words)
    assert (people.code, people.out) == (2, "")
    assert "try:" in people.err


def test_a_provider_with_its_peer_id_is_fine(cli: Cli) -> None:
    assert cli("fetch", "m", "--provider", ADDRESS).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_at_once_and_says_that_it_resumes(
    number: signal.Signals, cli: Cli, hub: FakeHub
) -> None:
    async def hang() -> None:
        os.kill(os.getpid(), number)
        await trio.sleep_forever()

    hub.meanwhile = hang
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    said = cli("fetch", "m", "--json")
    assert said.code == 130
    assert said.objects == [
        {
            "event": "failed",
            "code": 130,
            "message": "interrupted",
            "hint": "what was verified stays; the same command resumes",
        }
    ]
    people = cli("fetch", "m")
    assert people.code == 130
    assert "the same command resumes" in people.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


PRESSED = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Press(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == at:
            os.kill(os.getpid(), getattr(signal, number))

at, number, *words = sys.argv[1:]
sys.argv = ["p2phub", *words]
sys.meta_path.insert(0, Press())
from p2phub.cli.entry import program
program()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("at", ["p2phub.cli.main", "p2phub.cli.output", "p2phub.cli.running", "trio"])
def test_a_signal_while_the_program_is_loaded_ends_it_with_one_line(number: str, at: str, tmp_path: Path) -> None:
    for option, expected in (("-v", ("", "Interrupted\n")), ("--json", (INTERRUPTED_OBJECT, ""))):
        words = [sys.executable, "-c", PRESSED, at, number, "ls", option, "--home", str(tmp_path)]
        ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
        assert (ended.stdout, ended.stderr) == expected
        assert ended.returncode == 130


INTERRUPTED_OBJECT = '{"event": "failed", "code": 130, "message": "interrupted", "hint": null}\n'


def test_a_second_signal_while_the_first_is_told_of_ends_without_a_word(cli: Cli, hub: FakeHub) -> None:
    async def hang() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep_forever()

    hub.meanwhile = hang
    before = signal.signal(signal.SIGINT, end_early)  # As the process has it.
    try:
        assert cli("ls").code == 130
        assert signal.getsignal(signal.SIGINT) is _end_at_once
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_signal_does_not_call_a_node_failed_that_is_ending(cli: Cli, hub: FakeHub) -> None:
    async def end() -> None:
        os.kill(os.getpid(), signal.SIGINT)  # The first has been heard by the node itself.
        for _ in range(10):  # Time enough for it to be acted on.
            await trio.testing.wait_all_tasks_blocked()

    hub.events = [api.Ready(PEER, PEER, [ADDRESS], None)]
    hub.meanwhile = end
    said = cli("node")
    assert said.code == 0
    assert "Interrupted" not in said.err


def test_a_fault_on_the_way_out_of_an_interrupted_command_is_not_the_reason(cli: Cli, hub: FakeHub) -> None:
    async def hang() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await trio.sleep_forever()
        finally:
            raise errors.PeerGone("closed")

    hub.meanwhile = hang
    assert cli("fetch", "m", "--json").last["code"] == 130


def test_a_signal_that_the_parent_ignores_stays_ignored(cli: Cli, hub: FakeHub) -> None:
    async def signalled() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10):  # Time enough for a signal that is heard to be acted on.
            await trio.testing.wait_all_tasks_blocked()

    hub.meanwhile = signalled
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert cli("ls").code == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_person_who_says_nothing_or_help_is_shown_the_commands(cli: Cli) -> None:
    everything = cli("--help").out
    assert [(said.code, said.out) for said in (cli(), cli("help"))] == [(0, everything)] * 2
    assert cli("help", "fetch").out == cli("fetch", "--help").out
    assert cli("--json").code == 2, "a program that says nothing has a fault"
    assert cli("help", "bogus").code == 2


def test_the_help_of_fetch_is_in_groups(cli: Cli) -> None:
    said = cli("fetch", "--help").out
    titles = [line for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    own = titles[titles.index("options:") + 1 : -1]
    assert len(own) >= 5
    assert re.search(r"\noptions:\n  -h, --help [^\n]*\n\n", said), "none stands outside a group"


def test_help_and_version_go_to_stdout_and_exit_with_0(cli: Cli) -> None:
    assert "publish" in cli("--help").out
    assert "--provider" in cli("fetch", "--help").out
    assert "--bootstrap" in cli("fetch", "--help").out
    assert cli("--version").out.startswith("p2phub ")


class BrokenStdout:
    """A stdout whose reader is gone after `lines` lines."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.error: OSError = BrokenPipeError(32, "Broken pipe")

    def write(self, text: str) -> int:
        self.lines -= 1
        if self.lines < 0:
            raise self.error
        return len(text)

    def flush(self) -> None: ...

    def fileno(self) -> int:
        raise OSError("none")


def test_a_fetch_whose_reader_is_gone_ends_quietly(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.events = [api.Progress(number, 1.0) for number in range(9)]
    hub.meanwhile = trio.sleep_forever
    monkeypatch.setattr("sys.stdout", BrokenStdout(3))
    assert main(["fetch", "m", "--json"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["ls"], ["--help"], ["fetch", "--help"], ["--version"]], ids=" ".join)
def test_an_output_that_cannot_be_written_is_a_disk_error(
    words: list[str], hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout = BrokenStdout(0)
    stdout.error = OSError(28, "No space left on device")
    monkeypatch.setattr("sys.stdout", stdout)
    assert main(words) == 6
    assert "No space left" in capsys.readouterr().err


def test_a_fault_keeps_its_exit_code_though_nobody_reads(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.error = errors.NotFound("n")
    monkeypatch.setattr("sys.stdout", BrokenStdout(0))
    assert main(["ls", "--json"]) == 3

"""What stands on stdout and stderr: purity of JSON, log records, progress."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from p2phub.cli.command_list import all_commands
from p2phub.cli.main import main
from p2phub.cli.output import Output
from p2phub.cli.progress import Bar, Lines, Progress, Silence, open_progress
from p2phub.cli.sizes import duration, milliseconds, plural, size
from p2phub.cli.table import table
from p2phub.cli.wrap import wrapped
from tests.support.command_line import Cli, FakeHub
from tests.support.covers import covers
from tests.support.house import ROOT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output(stderr: TextIO, *, as_json: bool = False) -> Output:
    return Output(as_json=as_json, stdout=io.StringIO(), stderr=stderr)


def test_what_a_library_prints_never_reaches_the_stdout_of_json(cli: Cli, hub: FakeHub) -> None:
    async def chatter() -> None:
        print("a library says hello")

    hub.meanwhile = chatter
    said = cli("ls", "--json")
    assert [each["event"] for each in said.objects] == ["ls"]
    assert "hello" in said.err


@covers("T59")
def test_json_lines_hold_any_text_in_ascii_on_one_line(cli: Cli, hub: FakeHub) -> None:
    odd = "a\nb\u2028\udc80é"
    hub.results["names"] = {"x": odd}
    said = cli("name", "list", "--json")
    assert said.out.isascii()
    assert said.out.count("\n") == 1
    assert said.last["names"] == {"x": odd}


@pytest.mark.parametrize(("options", "expected"), [([], ["warned"]), (["-v"], ["told", "warned"])])
def test_log_records_go_to_stderr_as_many_as_asked_for(
    options: list[str], expected: list[str], cli: Cli, hub: FakeHub
) -> None:
    async def log() -> None:
        logging.getLogger("p2phub.dht").info("told")
        logging.getLogger("p2phub.dht").warning("warned \x1b[2J")
        logging.getLogger("somebody.else").warning("not ours")

    hub.meanwhile = log
    said = cli("ls", "--json", *options)
    assert [each["event"] for each in said.objects] == ["ls"]
    assert [word for word in ("told", "warned", "not ours") if word in said.err] == expected
    assert "\x1b" not in said.err


def test_lines_tell_each_tenth_and_each_ten_seconds_and_never_run_backwards() -> None:
    now, stderr = [0.0], io.StringIO()
    lines = Lines(output(stderr), clock=lambda: now[0])
    lines.begin("Fetching", total=1000, done=100)
    for done in (110, 150, 200, 190, 210, 1000, 1000):
        lines.advance(done, rate=50.0)
    lines.begin("Fetching", total=1000)
    now[0] = 11.0
    lines.advance(3)
    assert stderr.getvalue().splitlines() == [
        "Fetching: 900 B",
        "  200 B of 1.00 kB (20 %), 50 B/s",
        "  1.00 kB of 1.00 kB (100 %), 50 B/s",
        "Fetching: 1.00 kB",
        "  3 B of 1.00 kB (0 %)",
    ]


def test_a_bar_is_drawn_on_a_terminal_and_never_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stderr = Terminal()
    bar = open_progress(output(stderr))
    assert isinstance(bar, Bar)
    with bar:
        bar.begin("Looking")
        bar.begin("Fetching [bold]", total=1_000_000)
        bar.advance(600_000, rate=1e5)
        bar.advance(500_000)
        bar.detail("2 sources")
        bar.note("From [red]x\x1b[2J")
    shown = stderr.getvalue()
    assert "600 kB of 1.00 MB" in shown
    assert "100 kB/s, 4.0 s left" in shown
    assert "500 kB" not in shown
    assert "2 sources" in shown
    assert "Fetching [bold]" in shown
    assert "From [red]x\\x1b[2J" in shown


def test_a_bar_on_a_terminal_that_writes_ascii_alone_is_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    class AsciiTerminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    written = io.BytesIO()
    with open_progress(output(AsciiTerminal(written, encoding="ascii", errors="backslashreplace"))) as bar:
        bar.begin("Looking")
        bar.begin("Fetching", total=1000)
        bar.advance(500)
    bar._bars.console.file.flush()  # type: ignore[attr-defined]
    assert b"Fetching" in written.getvalue()
    assert b"\\u" not in written.getvalue()


def test_log_records_stand_above_the_bar_and_do_not_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stderr = Terminal()
    out = output(stderr)
    bar = open_progress(out, verbose=1)
    assert isinstance(bar, Bar)
    with bar:
        bar.begin("Fetching", total=1_000_000)
        out.log("told \x1b[2J")
        assert re.search(r"\r\x1b\[2Ktold \\x1b\[2J\n.*Fetching", stderr.getvalue()), (
            "the bar goes, and is drawn again below"
        )
    out.log("later")
    assert stderr.getvalue().endswith("later\n")


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_progress(output(Terminal())), Lines)


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        (open_progress(output(io.StringIO())), Lines),
        (open_progress(output(Terminal()), verbose=2), Lines),
        (open_progress(output(Terminal(), as_json=True)), Silence),
    ],
)
def test_there_is_no_bar_in_a_pipe_among_log_records_or_beside_json(shown: Progress, kind: type[Progress]) -> None:
    assert isinstance(shown, kind)


def test_sizes_and_times_are_written_for_people() -> None:
    assert [size(n) for n in (0, 999, 1000, 45_200_000, 999_600, 1_310_000_000)] == [
        "0 B", "999 B", "1.00 kB", "45.2 MB", "1.00 MB", "1.31 GB",
    ]  # fmt: skip
    assert [duration(s) for s in (0.31, 2.04, 12.3, 187, 7387)] == ["0.31 s", "2.0 s", "12 s", "3:07", "2:03:07"]
    assert [milliseconds(s) for s in (0.00004, 0.0004, 0.0012, 0.01, 0.25)] == [
        "0.04 ms", "0.4 ms", "1.2 ms", "10 ms", "250 ms",
    ]  # fmt: skip
    assert [plural(n, "file") for n in (0, 1, 12_000)] == ["0 files", "1 file", "12,000 files"]


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() -> None:
    assert table(["A", "N"], [["long", "1"], ["b", "22"]], right=(1,)) == ["A      N", "long   1", "b     22"]


def loaded_by_help() -> set[str]:
    code = (
        "import sys, io, contextlib\n"
        "from p2phub.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): assert main(['--help']) == 0\n"
        "print('\\n'.join(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_help_loads_no_library_and_no_room_below_the_door() -> None:
    loaded = loaded_by_help()
    assert "p2phub.cli.fetch" in loaded
    heavy = {
        "trio",
        "cryptography",
        "rich",
        "libp2p",
        "OpenSSL",
        "msgpack",
        "blake3",
        "asyncio",
        "sqlite3",
        "json.tool",
    }
    assert not {name.split(".")[0] for name in loaded} & heavy
    assert {name for name in loaded if name.startswith("p2phub.") and not name.startswith("p2phub.cli")} <= {
        "p2phub.api",
        "p2phub.errors",
    }


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_the_program_runs_with_its_output_closed(closed: str) -> None:
    number = {"stdout": 1, "stderr": 2}[closed]
    script = f'"{sys.executable}" -m p2phub bogus {number}>&-'
    ran = subprocess.run(["/bin/sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(("words", "codes"), [(["--help"], {0, 130}), (["--version"], {0, 130}), (["init"], {130})])
def test_a_reader_that_left_early_causes_no_traceback(words: list[str], codes: set[int], tmp_path: Path) -> None:
    """Help and version may fit a buffer, and then are printed before anything shows that nobody reads them."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "p2phub", "--home", str(tmp_path / "home"), *words]
    try:
        ran = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert ran.returncode in codes
    assert "Traceback" not in ran.stderr
    assert "Broken" not in ran.stderr


@pytest.fixture
def narrow() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A terminal of 40 columns: what writes to it, and where to read what it shows."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with open(its, "w", encoding="utf-8") as stream:
        yield stream, ours
    os.close(ours)


def shown(stream: io.TextIOWrapper, terminal: int) -> list[str]:
    """Return all that was written, which a terminal passes on in its own time; nothing can be written after that."""
    stream.close()
    read = b""
    with contextlib.suppress(OSError):  # EIO: that was all.
        while data := os.read(terminal, 65536):
            read += data
    return read.decode().replace("\r\n", "\n").splitlines()


def test_a_long_line_breaks_between_words_on_a_terminal(narrow: tuple[io.TextIOWrapper, int]) -> None:
    stream, terminal = narrow
    said = "it holds a fetch that is not finished: the same command resumes it"
    Output(as_json=False, stdout=io.StringIO(), stderr=stream).failed(3, said, "delete /home/someone/" + "x" * 50)
    lines = shown(stream, terminal)
    assert " ".join(" ".join(lines).split()) == f"p2phub: {said} try: delete /home/someone/" + "x" * 50
    assert all(len(line) <= 40 for line in lines if "xxx" not in line)


def test_a_line_that_no_terminal_shows_is_not_broken() -> None:
    stderr = io.StringIO()
    output(stderr).note("word " * 100)
    assert stderr.getvalue().count("\n") == 1


def test_where_rows_are_too_wide_for_the_terminal_each_thing_held_is_a_block(
    narrow: tuple[io.TextIOWrapper, int], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, terminal = narrow
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["ls"]) == 0
    lines = shown(stream, terminal)
    assert len(lines) == 3
    assert not lines[0].startswith(" ")
    assert "file" in lines[1]


@pytest.mark.parametrize("words", ["du", "gc", "peers", "log x/m"])
def test_no_row_is_wider_than_the_terminal(
    words: str, narrow: tuple[io.TextIOWrapper, int], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is one word, as a reference, may be: it is copied as one."""
    stream, terminal = narrow
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(words.split()) == 0
    lines = shown(stream, terminal)
    assert [line for line in lines if len(line) > 40 and " " in line.strip()] == []
    assert len(lines[0].split()) == 1, "a block begins with the name of what it is about"


def test_of_releases_that_say_nothing_about_themselves_there_is_no_column_for_it(cli: Cli, hub: FakeHub) -> None:
    assert "ABOUT" in cli("log", "x/m").out
    hub.results["log"] = [{**each, "description": ""} for each in hub.results["log"]]
    assert "ABOUT" not in cli("log", "x/m").out


def test_of_the_result_only_what_nobody_copies_is_broken(narrow: tuple[io.TextIOWrapper, int]) -> None:
    stream, terminal = narrow
    out = Output(as_json=False, stdout=stream, stderr=io.StringIO())
    line = "word " * 12
    out.say(line, whole=True)
    out.say("  p2phub fetch " + line)
    out.say(line)
    assert [len(each) > 40 for each in shown(stream, terminal)] == [True, True, False, False]


def test_what_goes_on_of_a_labelled_line_stands_below_its_text() -> None:
    assert wrapped("About      a sentence of its own, somewhat long", 40).splitlines() == [
        "About      a sentence of its own,",
        "           somewhat long",
    ]
    assert wrapped("Manifest   " + "b" * 50, 40) == "Manifest   " + "b" * 50
    assert wrapped("a line that has no label, somewhat long", 20).splitlines()[1].startswith("  ")


COMMANDS_AND_ALL = [[], *([command.name] for command in all_commands())]


@pytest.mark.parametrize("words", COMMANDS_AND_ALL, ids=lambda words: " ".join(words) or "all")
def test_help_is_not_wider_than_the_terminal(words: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = [line for line in cli(*words, "--help").out.splitlines() if len(line) > 80]
    assert wide == []

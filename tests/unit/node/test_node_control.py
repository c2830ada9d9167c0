"""A running node carries out the commands of its home, and of nobody else."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import errors, limits
from p2phub.errors import AlreadyRunning, ChunkMismatch, HubError, Malformed, NodeGone, NotFound, NotTrusted, UsageError
from p2phub.node import control
from p2phub.node.control import call, daemon_running, hold_home, serve_control
from p2phub.node.home import control_path
from p2phub.observe import (
    Done,
    Event,
    FilesLeft,
    FilesReady,
    PeerDropped,
    Progress,
    PublishProgress,
    Ready,
    Source,
    SourceBytes,
    Unmatched,
)
from tests.support.covers import covers

EVENTS: list[Event] = [
    Ready("12D", "12D", ["/ip4/1.2.3.4/tcp/1"], None),
    PublishProgress(bytes_hashed=1, bytes_total=2, files=3),
    Source("12D", "/ip4/1.2.3.4/tcp/1", "direct"),
    Progress(bytes_verified=1, bytes_per_s=2.5),
    FilesLeft(["a"]),
    FilesReady(["a", "b/c"]),
    Unmatched("*.jsn"),
    PeerDropped("12D", "lied", "f", 3),
    Done("/p", 1, 2, 3.0, None, [SourceBytes("12D", 5)]),
]


pytestmark = pytest.mark.usefixtures("runtime")


def watch_nothing(event: Event) -> None:
    pass


async def echo(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
    return {"verb": verb, **args}


@asynccontextmanager
async def daemon(home: Path, handler: control.Handler = echo) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, home, handler)
        yield
        nursery.cancel_scope.cancel()


async def raw(home: Path, request: bytes) -> list[dict[str, Any]]:
    """Send bytes to the socket as they are, and return the lines of the answer."""
    stream = await trio.open_unix_socket(os.fspath(control_path(home)))
    async with stream:
        await stream.send_all(request)
        received = b"".join([part async for part in stream])
    return [json.loads(line) for line in received.splitlines()]


async def test_a_verb_is_carried_out_and_its_events_and_result_come_back_as_they_were(tmp_path: Path) -> None:
    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        for event in EVENTS:
            watch(event)
        return {"verb": verb, "args": args, "event": "its own"}

    heard: list[Event] = []
    async with daemon(tmp_path, handler):
        result = await call(tmp_path, "fetch", {"ref": "é\n", "n": 1}, heard.append)
    assert result == {"verb": "fetch", "args": {"ref": "é\n", "n": 1}, "event": "its own"}
    assert heard == EVENTS


@pytest.mark.parametrize("kind", [each for each in vars(errors).values() if isinstance(each, type)])
async def test_errors_come_back_with_their_code_message_and_hint(tmp_path: Path, kind: type[HubError]) -> None:
    special: dict[type[HubError], HubError] = {
        Malformed: Malformed("rule", "bad", hint="try"),
        ChunkMismatch: ChunkMismatch("bad", file="f", chunk=1),
        errors.PeerRefused: errors.PeerRefused("bad", reason="busy"),
    }
    error = special[kind] if kind in special else kind("bad", hint="try")

    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        raise error

    async with daemon(tmp_path, handler):
        with pytest.raises(HubError) as caught:
            await call(tmp_path, "fetch", {}, watch_nothing)
    assert (caught.value.code, caught.value.message, caught.value.hint) == (error.code, error.message, error.hint)
    assert isinstance(caught.value, kind) or kind in special


async def test_an_error_in_a_group_of_one_comes_back_bare(tmp_path: Path) -> None:
    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        raise ExceptionGroup("nursery", [ExceptionGroup("nursery", [NotFound("nobody has it")])])

    async with daemon(tmp_path, handler):
        with pytest.raises(NotFound, match="nobody has it"):
            await call(tmp_path, "fetch", {}, watch_nothing)


@covers("F31")
async def test_a_bug_in_one_command_is_told_and_logged_and_the_node_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        return {} if verb == "good" else {"x": 1 / 0}

    async with daemon(tmp_path, handler):
        with pytest.raises(HubError, match="ZeroDivisionError") as caught:
            await call(tmp_path, "bad", {}, watch_nothing)
        assert caught.value.code == 1
        assert await call(tmp_path, "good", {}, watch_nothing) == {}
    assert "ZeroDivisionError" in caplog.text


@covers("F30")
async def test_a_command_that_goes_away_cancels_its_verb(tmp_path: Path) -> None:
    begun, cancelled = trio.Event(), trio.Event()

    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()
        return {}

    async with daemon(tmp_path, handler), trio.open_nursery() as nursery:
        nursery.start_soon(call, tmp_path, "fetch", {}, watch_nothing)
        await begun.wait()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True), trio.fail_after(5):
            await cancelled.wait()


@covers("T27")
@pytest.mark.parametrize(
    ("request_line", "complaint"),
    [
        (b"hello\n", "no JSON"),
        (b"[1]\n", "verb"),
        (b'{"verb": "ls"}\n', "verb"),
        (b'{"verb": 1, "args": {}}\n', "verb"),
        (b'{"verb": "ls", "args": []}\n', "args"),
        (b'{"verb": "ls", "args": {}, "more": 1}\n', "verb"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"\xff\n", "no JSON"),
        (b"x" * (limits.CONTROL_REQUEST_BYTES_MAX + 1) + b"\n", ""),
    ],
)
async def test_a_request_that_is_none_is_refused_and_the_node_lives(
    tmp_path: Path, request_line: bytes, complaint: str
) -> None:
    async with daemon(tmp_path):
        (answer,) = await raw(tmp_path, request_line)
        assert (answer["event"], answer["code"]) == ("failed", 2)
        assert complaint in answer["message"]
        assert await call(tmp_path, "ls", {}, watch_nothing) == {"verb": "ls"}


async def test_a_request_too_long_to_be_taken_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too many"):
        await call(tmp_path, "ls", {"x": "y" * limits.CONTROL_REQUEST_BYTES_MAX}, watch_nothing)


async def test_one_who_connects_and_says_nothing_is_left_after_a_while(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with daemon(tmp_path):
        stream = await trio.open_unix_socket(os.fspath(control_path(tmp_path)))
        async with stream:
            assert await stream.receive_some(1) == b""
    assert trio.current_time() >= control.REQUEST_S


async def test_no_more_commands_than_jobs_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JOBS_MAX", 1)
    begun = trio.Event()

    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        begun.set()
        await trio.sleep_forever()
        return {}

    async with daemon(tmp_path, handler), trio.open_nursery() as nursery:
        nursery.start_soon(call, tmp_path, "first", {}, watch_nothing)
        await begun.wait()
        with pytest.raises(UsageError, match="running already"):
            await call(tmp_path, "second", {}, watch_nothing)
        nursery.cancel_scope.cancel()


async def test_a_slow_reader_does_not_hold_up_the_verb_and_hears_the_newest_progress(tmp_path: Path) -> None:
    count = 100_000

    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        for number in range(count):
            watch(Progress(bytes_verified=number, bytes_per_s=1.0))
        return {}

    heard: list[Event] = []
    async with daemon(tmp_path, handler):
        await call(tmp_path, "fetch", {}, heard.append)
    assert heard[-1] == Progress(bytes_verified=count - 1, bytes_per_s=1.0)
    assert len(heard) < 100


@covers("T47")
async def test_processes_of_other_users_are_not_answered(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with daemon(tmp_path):
        assert daemon_running(tmp_path)
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        monkeypatch.setattr(control, "control_paths", lambda home: [path])
        path = runtime / "p2phub" / os.listdir(runtime / "p2phub")[0]
        assert await raw_at(path, b'{"verb": "ls", "args": {}}\n') == b""
        assert not daemon_running(tmp_path)  # Nor is a command told anything to a daemon of somebody else.


async def raw_at(path: Path, request: bytes) -> bytes:
    stream = await trio.open_unix_socket(os.fspath(path))
    async with stream:
        await stream.send_all(request)
        try:
            return b"".join([part async for part in stream])
        except trio.BrokenResourceError:
            return b""


@covers("T47")
async def test_the_socket_and_its_folder_are_their_owners_alone(tmp_path: Path) -> None:
    async with daemon(tmp_path):
        path = control_path(tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


@covers("T47")
@pytest.mark.parametrize("mischief", ["loose", "link", "file"])
async def test_a_folder_that_others_could_have_made_is_refused(tmp_path: Path, runtime: Path, mischief: str) -> None:
    folder = runtime / "p2phub"
    if mischief == "loose":
        folder.mkdir()
        folder.chmod(0o777)
    elif mischief == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_text("")
    with pytest.raises(NotTrusted):
        await serve_control(tmp_path, echo)


async def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    path = control_path(tmp_path)
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    assert not daemon_running(tmp_path)
    async with daemon(tmp_path):
        assert daemon_running(tmp_path)


async def test_a_daemon_is_found_from_another_environment_than_its_own(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_home(tmp_path):
        async with daemon(tmp_path):
            (runtime / "other").mkdir()
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "other"))
            assert daemon_running(tmp_path)
            assert await call(tmp_path, "ls", {}, watch_nothing) == {"verb": "ls"}


async def test_two_homes_have_two_sockets(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert control_path(tmp_path / "one") != control_path(tmp_path / "two")
    assert control_path(tmp_path / "one") == control_path(tmp_path / "link")


def test_without_a_runtime_folder_the_socket_is_in_a_temporary_one_of_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert control_path(tmp_path).parent.name == f"p2phub-{os.geteuid()}"


async def test_a_daemon_that_ends_in_the_middle_is_told_as_such(tmp_path: Path) -> None:
    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        scope.cancel()
        await trio.sleep_forever()
        return {}

    scope = trio.CancelScope()

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await serve_control(tmp_path, handler, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        with pytest.raises(NodeGone, match="stopped before") as caught:
            await call(tmp_path, "fetch", {}, watch_nothing)
    assert caught.value.code == 7, "it is no bug"
    assert "what was verified stays, and the same command goes on" in str(caught.value.hint)


@asynccontextmanager
async def suspended(home: Path) -> AsyncIterator[None]:
    """A daemon that is stopped, as by Ctrl-Z: whoever connects waits."""
    path = control_path(home)
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        yield


async def test_a_node_that_stands_still_is_told_of_and_who_only_asks_gives_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with suspended(tmp_path):
        with pytest.raises(NodeGone, match=rf"process {os.getpid()}\) does not answer") as caught:
            await call(tmp_path, "ls", {}, watch_nothing)
    assert trio.current_time() < 60
    assert caught.value.code == 7
    assert caplog.messages == [f"the node (process {os.getpid()}) does not answer; is it stopped?"]


async def test_a_fetch_waits_for_a_node_that_stands_still_and_says_so_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with suspended(tmp_path):
        with trio.move_on_after(24 * 3600) as a_day:
            await call(tmp_path, "fetch", {}, watch_nothing)
    assert a_day.cancelled_caught
    assert len(caplog.messages) == 1


async def test_a_node_that_works_in_silence_is_waited_for_without_a_word(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(verb: str, args: dict[str, Any], watch: control.Watch) -> dict[str, Any]:
        await trio.sleep(3600)
        return {}

    async with daemon(tmp_path, handler):
        assert await call(tmp_path, "du", {}, watch_nothing) == {}
    assert caplog.messages == []


async def test_without_a_daemon_a_call_says_so(tmp_path: Path) -> None:
    with pytest.raises(NodeGone, match="does not answer"):
        await call(tmp_path, "ls", {}, watch_nothing)


@covers("F07")
def test_a_second_daemon_on_a_home_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hold_home(home), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"), hold_home(home):
        pass
    with hold_home(home):
        pass


@covers("F07")
def test_the_lock_of_a_killed_daemon_is_free(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, time\nfrom p2phub.node.home import hold_home\n"
        "with hold_home(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=f"process {other.pid}"), hold_home(tmp_path):
            pass
    finally:
        other.kill()
        other.communicate()
    with hold_home(tmp_path):
        pass


def test_a_pipe_in_place_of_the_lock_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "daemon.lock")
    assert not daemon_running(tmp_path)

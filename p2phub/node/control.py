"""The daemon's local socket: how a command has the running node of its home carry out a verb.

One connection is one verb. The command sends one line of JSON, `{"verb": …, "args": {…}}`; the daemon answers with the
events of the verb, one JSON object a line as in `--json`, and last

    {"event": "result", "result": {…}}      or      {"event": "failed", "kind": …, "code": …, "message": …, "hint": …}

Whoever sends no request is refused at once, however busy the verbs are, and so a command tells a node that works in
silence from one that stands still. A command that goes away cancels its verb. Both ends check that the other is a
process of the same user.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import math
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import trio

from p2phub import errors, limits, observe
from p2phub.errors import Damaged, HubError, NodeGone, UsageError
from p2phub.node.contained import contained
from p2phub.node.home import control_path, control_paths, hold_home, make_private_folder
from p2phub.observe import Event, Failed, Watch

JsonObject = dict[str, Any]
Handler = Callable[[str, JsonObject, Watch], Awaitable[JsonObject]]
"""Carries out a verb: its name, its arguments, whom to tell. Raises HubError."""

REQUEST_S = 10.0  # A command sends its request at once.
ANSWER_LINE_BYTES_MAX = 256 * limits.MIB  # The longest result lists every file of a manifest.
EVENTS_WAITING_MAX = 1024
ACCEPT_RETRY_S = 0.1
LOOK_S = 4.0  # After so long a silence a command looks whether the node answers anybody.
LOOK_S_MAX = 60.0  # One that does is asked less and less often.
ANSWER_S = 4.0  # So long may a node take for that that has a flood to serve.
GIVE_UP_S = 30.0  # After so long a node that stands still is not waited for by who only asks.
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

GOING_ON = frozenset(("fetch", "give", "pin", "verify", "open_tensors", "read_range", "want_ranges"))
"""Verbs of which what was verified is kept: called again, they go on with it."""

WAITING = GOING_ON | {"publish", "draft_publish", "draft_change", "adopt", "hub_bring", "gc"}
"""Verbs that do not only ask: a node that stands still is waited for, since it goes on with them when it is let."""

log = logging.getLogger(__name__)


# --- the daemon's end ---------------------------------------------------------------------------------------------


async def serve_control(
    home: Path, handler: Handler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer commands until cancelled; the caller holds the home. Raises NotTrusted or DiskError before it started."""
    path = control_path(home)
    make_private_folder(path.parent)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # Left by a daemon that was killed: we hold its home now.
    server = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await server.bind(os.fspath(path))
        path.chmod(0o600)
        server.listen(limits.JOBS_MAX)
        async with trio.open_nursery() as nursery:
            task_status.started()
            at_once = trio.CapacityLimiter(limits.JOBS_MAX)
            while True:
                try:
                    connection, _ = await server.accept()
                except OSError as exc:  # Out of descriptors, most likely: a stranger's flood must not end the node.
                    log.warning("cannot accept commands now: %s", exc.strerror)
                    await trio.sleep(ACCEPT_RETRY_S)
                    continue
                nursery.start_soon(_serve_one, trio.SocketStream(connection), handler, at_once)
    finally:
        server.close()
        with contextlib.suppress(OSError):
            path.unlink()


async def _serve_one(stream: trio.SocketStream, handler: Handler, at_once: trio.CapacityLimiter) -> None:
    async with stream:
        if _peer(stream.socket)[1] != os.geteuid():
            return
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            try:
                at_once.acquire_on_behalf_of_nowait(stream)
            except trio.WouldBlock:
                await stream.send_all(_line(_failed(UsageError(f"{limits.JOBS_MAX} commands are running already"))))
                return
            try:
                await _converse(stream, handler)
            finally:
                at_once.release_on_behalf_of(stream)


async def _converse(stream: trio.SocketStream, handler: Handler) -> None:
    try:
        with trio.fail_after(REQUEST_S):
            line = await _Lines(stream, limits.CONTROL_REQUEST_BYTES_MAX).next()
        if line is None:
            return
        verb, args = _read_request(line)
    except (UsageError, Damaged) as error:
        await stream.send_all(_line(_failed(error)))
        return
    except trio.TooSlowError:
        return
    outbox = _Outbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, stream, nursery.cancel_scope)
        nursery.start_soon(outbox.send_to, stream, nursery.cancel_scope)
        outbox.end(await _carry_out(handler, verb, args, outbox.put))


async def _carry_out(handler: Handler, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
    """Return the last line of the answer."""
    try:
        with contained(f"the command {verb[:40]}"):
            return {"event": "result", "result": await handler(verb, args, watch)}
    except HubError as error:
        return _failed(error)


async def _cancel_when_gone(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some(4096):
            pass  # Nothing is expected of a command after its request; what it says is not kept.
    scope.cancel()


class _Outbox:
    """Events on their way to a command. A slow reader gets the newest progress only, and never holds up the verb."""

    def __init__(self) -> None:
        self._waiting: deque[JsonObject] = deque(maxlen=EVENTS_WAITING_MAX)  # The oldest are lost beyond that.
        self._news = trio.Event()

    def put(self, event: Event) -> None:
        self._add(event.as_json())

    def end(self, last: JsonObject) -> None:
        self._add(last)

    def _add(self, message: JsonObject) -> None:
        if message["event"] == "progress" and self._waiting and self._waiting[-1]["event"] == "progress":
            self._waiting.pop()
        self._waiting.append(message)
        self._news.set()

    async def send_to(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        """Send what comes, up to the last line; then the conversation is over, and so it is if nobody listens."""
        try:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                while self._waiting:
                    message = self._waiting.popleft()
                    await stream.send_all(_line(message))
                    if message["event"] in ("result", "failed"):
                        return
        except trio.BrokenResourceError:
            return
        finally:
            scope.cancel()


# --- the command's end --------------------------------------------------------------------------------------------


class RemoteVerbs:
    """The verbs of the daemon of `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        """Have the daemon carry out `verb`; `watch` is told its events. Raises the HubError that it raised."""
        request = _line({"verb": verb, "args": args})
        if len(request) > limits.CONTROL_REQUEST_BYTES_MAX:
            raise UsageError("too many or too long arguments")
        connected = _connect(self._home)
        if connected is None:
            raise NodeGone(f"the node of {self._home} does not answer", hint=_hint(verb))
        pid = _peer(connected)[0]
        async with trio.SocketStream(trio.socket.from_stdlib_socket(connected)) as stream:
            lines = _Lines(stream, ANSWER_LINE_BYTES_MAX)
            with contextlib.suppress(trio.BrokenResourceError):
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(request)  # If it does not read it all, its answer says why.
                while (line := await self._next(lines, verb, pid)) is not None:
                    message = json.loads(line)
                    if message["event"] == "result":
                        return dict(message["result"])
                    if message["event"] == "failed":
                        raise _error(message)
                    event = _event(message)
                    if event is not None:
                        watch(event)
        raise NodeGone("the node stopped before it had finished", hint=_hint(verb))

    async def _next(self, lines: _Lines, verb: str, pid: int) -> bytes | None:
        """Return the next line, None at the end. Says so where the node stands still, and raises NodeGone for that if
        it goes on and `verb` only asks."""
        look_s, stands_since = LOOK_S, math.inf
        while True:
            with trio.move_on_after(look_s):
                return await lines.next()
            if await self._answers():
                look_s, stands_since = min(2 * look_s, LOOK_S_MAX), math.inf
            elif stands_since == math.inf:
                log.warning("the node (process %d) does not answer; is it stopped?", pid)
                stands_since = trio.current_time()
                # Each look leaves it one more connection to take, of which there is room for some.
                look_s = math.inf if verb in WAITING else GIVE_UP_S
            else:
                hint = f"let it go on (kill -CONT {pid}), or end it and start it again: p2phub node"
                raise NodeGone(f"the node (process {pid}) does not answer", hint=hint)

    async def _answers(self) -> bool:
        """Return whether the node answers anybody. It is sent no request, which it says at once."""
        connected = _connect(self._home)
        if connected is None:
            return False
        async with trio.SocketStream(trio.socket.from_stdlib_socket(connected)) as stream:
            with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(ANSWER_S):
                await stream.send_all(b"\n")
                return bool(await stream.receive_some(1))
        return False


def _hint(verb: str) -> str:
    """Return what to try when the node went away that carried out `verb`."""
    if verb in GOING_ON:
        return "what was verified stays, and the same command goes on, with a node or without; `p2phub node` starts one"
    return "run the same command again, with a node or without; `p2phub node` starts one"


def remote_verbs(home: Path) -> RemoteVerbs:
    """Return the verbs of the daemon that runs for `home`."""
    return RemoteVerbs(home)


async def call(home: Path, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
    """Have the daemon of `home` carry out one verb. See `RemoteVerbs.call`."""
    return await RemoteVerbs(home).call(verb, args, watch)


def daemon_running(home: Path) -> bool:
    """Return whether a daemon of `home` answers here."""
    connected = _connect(home)
    if connected is None:
        return False
    connected.close()
    return True


def _connect(home: Path) -> socket.socket | None:
    """Connect to the daemon of `home`; None if there is none of this user's. Does not wait: a Unix socket answers at
    once or not at all."""
    for path in control_paths(home):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.setblocking(False)
            connection.connect(os.fspath(path))
            if _peer(connection)[1] == os.geteuid():
                return connection
        except OSError:
            pass  # No such socket, or left by a daemon that was killed.
        connection.close()
    return None


# --- both ends ----------------------------------------------------------------------------------------------------


class _Lines:
    """Reads lines of at most `bytes_max`."""

    def __init__(self, stream: trio.SocketStream, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._held = bytearray()
        self._searched = 0

    async def next(self) -> bytes | None:
        """Return the next line, None at the end of the connection. Raises UsageError for one that is too long."""
        while (end := self._held.find(b"\n", self._searched)) < 0:
            self._searched = len(self._held)
            if self._searched > self._bytes_max:
                raise UsageError(f"a line of more than {self._bytes_max} bytes")
            received = await self._stream.receive_some(limits.MIB)
            if not received:
                return None
            self._held += received
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        self._searched = 0
        return line


def _peer(connection: socket.socket | trio.socket.SocketType) -> tuple[int, int]:
    """Return the process at the other end, and its user."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(raw)
    return int(pid), int(user)


def _line(message: JsonObject) -> bytes:
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _read_request(line: bytes) -> tuple[str, JsonObject]:
    if len(line) > limits.CONTROL_REQUEST_BYTES_MAX:
        raise UsageError("the request is too long")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise UsageError("the request is no JSON") from exc
    if not isinstance(request, dict) or request.keys() != {"verb", "args"}:
        raise UsageError('a request has "verb" and "args"')
    verb, args = request["verb"], request["args"]
    if not isinstance(verb, str) or not isinstance(args, dict):
        raise UsageError('"verb" is a text and "args" an object')
    return verb, args


def _failed(error: HubError) -> JsonObject:
    kind = next(each for each in type(error).__mro__ if getattr(errors, each.__name__, None) is each)
    told = Failed(error.code, error.message, error.hint).as_json()
    return {"event": told["event"], "kind": kind.__name__, **told}


def _error(message: JsonObject) -> HubError:
    """Return the error that the daemon told of: of the same kind, or of the next one up that takes a message alone."""
    kind = getattr(errors, str(message.get("kind")), HubError)
    if not (isinstance(kind, type) and issubclass(kind, HubError)):
        kind = HubError
    plain = next(each for each in (*kind.__mro__, *_plain()) if each in _plain() and each.code == kind.code)
    return plain(str(message.get("message")), hint=message.get("hint"))


def _takes_a_message_alone(kind: type[HubError]) -> bool:
    try:
        inspect.signature(kind).bind("message", hint=None)
    except TypeError:
        return False
    return True


@cache
def _plain() -> tuple[type[HubError], ...]:
    kinds = (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HubError))
    return tuple(each for each in kinds if _takes_a_message_alone(each))


@cache
def _events() -> dict[tuple[str, frozenset[str]], type[Event]]:
    kinds = (each for each in vars(observe).values() if isinstance(each, type) and issubclass(each, Event))
    return {(each.NAME, frozenset(each.__struct_fields__)): each for each in kinds if each is not Event}


def _event(message: JsonObject) -> Event | None:
    """Return the event that a line tells; None for one of another version of p2phub."""
    fields = {name: value for name, value in message.items() if name != "event"}
    kind = _events().get((message["event"], frozenset(fields)))
    if kind is None:
        return None
    if kind is observe.Done:
        fields["sources"] = [observe.SourceBytes(**source) for source in fields["sources"]]
    return kind(**fields)


__all__ = ["Handler", "RemoteVerbs", "call", "daemon_running", "hold_home", "remote_verbs", "serve_control"]

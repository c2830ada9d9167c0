"""Ask the kernel how much the TCP connections of some processes have sent: nobody's word, the same for every tool.

The answer (inet_diag over netlink, as `ss` uses it) counts bytes that the other end has acknowledged, so ciphers and
protocols are in it and repeats are not. Connections are looked at every 50 ms, and once more when the kernel tells that
one has ended; only what lived wholly between two looks is missing.
"""

import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from benchmarks.procfs import descendants

SAMPLE_S = 0.05
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_INFO = 2
_GROUP_TCP_DESTROY = 1
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48s")
_MESSAGE_BYTES = 72
_COOKIE_AT, _INODE_AT = 44, 68
_BYTES_ACKED_AT = 120  # in struct tcp_info
_RECEIVE_BYTES = 1 << 18


class SendWatch:
    """Bytes that some processes, each with its descendants, have sent over TCP while the `with` block runs."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._sent: dict[int, dict[int, int]] = {pid: {} for pid in pids}  # by process, then by the socket's cookie
        self._seen = False
        self._ended = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
        self._ended.setblocking(False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def sent_bytes(self) -> tuple[int, ...] | None:
        """Look once more, and return what each process has sent so far; None if the kernel does not tell."""
        self._look()
        return tuple(sum(self._sent[pid].values()) for pid in self._pids) if self._seen else None

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._look()

    def _look(self) -> None:
        with suppress(OSError):
            connections = list(tcp_connections())
            self._seen = True
            for pid in self._pids:
                owned, sent = _socket_inodes(pid), self._sent[pid]
                for cookie, inode, acked in connections:
                    if inode in owned or cookie in sent:  # one that is closing belongs to no inode any more
                        sent[cookie] = max(acked, sent.get(cookie, 0))
        with suppress(OSError):  # none more
            while True:
                for _, message in _messages(self._ended.recv(_RECEIVE_BYTES)):
                    self._note_end(message)

    def _note_end(self, message: bytes) -> None:
        for cookie, _, acked in _connection(message):
            for sent in self._sent.values():
                if cookie in sent:
                    sent[cookie] = max(acked, sent[cookie])

    def __enter__(self) -> "SendWatch":
        with suppress(OSError):  # else what was sent last, before the end, is not counted
            self._ended.bind((0, _GROUP_TCP_DESTROY))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._ended.close()


def tcp_connections() -> Iterator[tuple[int, int, int]]:
    """Yield (cookie, inode, bytes acknowledged by the other end) of each TCP connection over IPv4 of this namespace.

    Raises OSError if the kernel does not tell.
    """
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, 0xFFFFFFFF, bytes(48))
    request = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 0, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(request)
        while True:
            for kind, message in _messages(kernel.recv(_RECEIVE_BYTES)):
                if kind == _NLMSG_DONE:
                    return
                yield from _connection(message)


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each message in what the kernel sent at once."""
    while datagram:
        length, kind, *_ = _HEADER.unpack_from(datagram)
        message = datagram[_HEADER.size : length]
        if kind == _NLMSG_ERROR:
            raise OSError(-struct.unpack_from("=i", message)[0], "inet_diag")
        yield kind, message
        datagram = datagram[(length + 3) & ~3 :]


def _connection(message: bytes) -> Iterator[tuple[int, int, int]]:
    acked = _bytes_acked(message[_MESSAGE_BYTES:])
    if acked is not None:  # else it listens, or is all but gone
        [cookie] = struct.unpack_from("=Q", message, _COOKIE_AT)
        [inode] = struct.unpack_from("=I", message, _INODE_AT)
        yield cookie, inode, acked


def _bytes_acked(attributes: bytes) -> int | None:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _INET_DIAG_INFO and length >= 4 + _BYTES_ACKED_AT + 8:
            return int(struct.unpack_from("=Q", attributes, 4 + _BYTES_ACKED_AT)[0])
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return None


def _socket_inodes(pid: int) -> set[int]:
    """Return the inodes of the sockets that a process and its descendants hold."""
    found: set[int] = set()
    for member in (pid, *(child.pid for child in descendants(pid))):
        with suppress(OSError):
            for descriptor in Path(f"/proc/{member}/fd").iterdir():
                with suppress(OSError):
                    target = os.readlink(descriptor)
                    if target.startswith("socket:["):
                        found.add(int(target[8:-1]))
    return found

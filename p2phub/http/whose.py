"""Which user of this machine has the other end of a loopback connection.

TCP tells nothing of users, unlike a local socket, so the kernel is asked for the socket that the client has: one
question by netlink (Linux alone), answered at once. Source: `man 7 sock_diag`; `linux/inet_diag.h`.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

NOBODY = -1
"""No program of this machine is known to have the other end: it was closed since, so nobody reads what it is told; or
the kernel could not answer just now, and whoever it is shows the token."""

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST, _ERROR = 1, 2  # NLM_F_REQUEST, NLMSG_ERROR
_HEADER = struct.Struct("=IHHII")  # Length, type, flags, sequence, port.
_QUESTION = struct.Struct("=BBBxI")  # Family, protocol, extensions, states; then the socket, by both ends.
_PORTS = struct.Struct("!HH16s16s")
_ANY = struct.pack("=I8s", 0, b"\xff" * 8)  # Interface and cookie: whichever.
_UID_AT = _HEADER.size + 4 + _PORTS.size + len(_ANY) + 12
_ANSWER_BYTES = 4096
_NOT_TOLD_HERE = frozenset(
    (
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
        errno.ESOCKTNOSUPPORT,
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.EINVAL,
        errno.EPERM,
        errno.EACCES,
        errno.ECONNREFUSED,
    )
)
"""How a system, or a sandbox, says that it never tells. Any other failure passes: descriptors or memory ran out, say,
which a stranger can see to, and which is nobody's way in."""


def user_at(ours: tuple[str, int], theirs: tuple[str, int]) -> int | None:
    """Return the uid of who has the socket at `theirs` that is connected to `ours` (IP and port), NOBODY if there is
    none or the kernel fails to answer; None where the system does not tell at all."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
            kernel.send(_question(ours, theirs))
            answer = kernel.recv(_ANSWER_BYTES, socket.MSG_DONTWAIT)
    except AttributeError:  # Another system.
        return None
    except OSError as exc:
        return _unless_not_told(exc.errno)
    if _HEADER.unpack_from(answer)[1] == _ERROR:
        return _unless_not_told(-struct.unpack_from("=i", answer, _HEADER.size)[0])
    uid, inode = struct.unpack_from("=II", answer, _UID_AT)
    # A socket that its program let go of lives on until TCP has ended it, and the kernel tells it as root's: whoever
    # closes at once would be taken for root.
    return int(uid) if inode else NOBODY


def _unless_not_told(number: int | None) -> int | None:
    return None if number in _NOT_TOLD_HERE else NOBODY


def _question(ours: tuple[str, int], theirs: tuple[str, int]) -> bytes:
    source, target = (ipaddress.ip_address(ip).packed for ip, _ in (theirs, ours))
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    asked = (
        _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        + _PORTS.pack(theirs[1], ours[1], source, target)
        + _ANY
    )
    return _HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _REQUEST, 1, 0) + asked

"""Leave the network: go into a network namespace that has loopback alone, so that no contestant can reach out.

Some peers would ask relays or rendezvous servers, and wait for answers that have nothing to do with the race. Root
can do this everywhere but in tight containers; others where user namespaces are allowed. Of several namespaces, as a
race over a long line has, root may visit each (`within`).
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
LOOPBACK = "127.0.0.1"


def leave_the_network() -> bool:
    """Do it, for this process (which must have one thread) and all that it starts; return False if it may not."""
    # A child tries first: a process that got half of the way would be left without loopback, too.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            enter_new_network()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        return False
    enter_new_network()
    return True


def enter_new_network() -> None:
    """Have this process (which must have one thread) in a new network of its own. Raises OSError if it may not."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET if user == 0 else _CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:  # in a namespace of its own a user stays who it was
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    bring_up(b"lo")


def bring_up(interface: bytes) -> None:
    """Let packets pass through a network interface of the network that this process is in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", interface, _IFF_UP | _IFF_RUNNING))


@contextmanager
def within(network: Path | None) -> Iterator[None]:
    """Have this thread in another network (a file such as /proc/PID/ns/net), and what it starts meanwhile for ever.

    None: it stays where it is. Raises OSError if it may not.
    """
    if network is None:
        yield
        return
    with Path("/proc/thread-self/ns/net").open("rb") as own, network.open("rb") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")

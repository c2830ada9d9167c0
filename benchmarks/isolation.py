"""Leave the network: go into a network namespace that has loopback alone, so that no contestant can reach out.

Some peers would ask relays or rendezvous servers, and wait for answers that have nothing to do with the race. Root
can do this everywhere but in tight containers; others where user namespaces are allowed.
"""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40


def leave_the_network() -> bool:
    """Do it, for this process (which must have one thread) and all that it starts; return False if it may not."""
    # A child tries first: a process that got half of the way would be left without loopback, too.
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter_namespace()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        return False
    _enter_namespace()
    return True


def _enter_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET if user == 0 else _CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:  # in a namespace of its own a user stays who it was
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP | _IFF_RUNNING))

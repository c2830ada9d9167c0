"""Tell systemd how a node is: that it is up (`Type=notify`), and that its loop turns (`WatchdogSec=`).

One datagram each to the socket that systemd names in NOTIFY_SOCKET; nothing where it named none, as everywhere else.
A watchdog is told from the daemon's own loop: one that is stuck is not told, and systemd starts it anew.
Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

import trio

_log = logging.getLogger(__name__)


class Notifier:
    """What the environment names: a socket to tell, and how often it wants to hear that we are alive."""

    def __init__(self, environment: Mapping[str, str], *, pid: int) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        known = usec.isascii() and usec.isdigit() and len(usec) <= 18
        self.watchdog_s = int(usec) / 1e6 if self._address and meant and known and int(usec) > 0 else None

    def ready(self, status: str) -> None:
        """Say that the node is up, and what `systemctl status` is to show of it."""
        self._tell(f"READY=1\nSTATUS={status}")

    async def keep_alive(self) -> None:
        """Say that the loop turns, twice in each time that systemd waits, until cancelled."""
        while self.watchdog_s is not None:
            self._tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)

    def _tell(self, what: str) -> None:
        if self._address[:1] not in ("/", "@"):
            return
        where = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.setblocking(False)
                notify.sendto(what.encode(), where)
        except OSError as error:  # systemd's own time limits say what follows; the node does its work.
            _log.warning("systemd is not told: %s", error.strerror or error)


def notifier() -> Notifier:
    """Return that of this process."""
    return Notifier(os.environ, pid=os.getpid())

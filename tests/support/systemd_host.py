"""A machine with a real systemd, made of this one: namespaces of its own, and an overlay over all that it could write.

What is in it starts with this test and ends with it: process 1 is a child of ours, the network is a loopback device,
the units are those that the test puts there, and kernel settings can only be read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.house import ROOT

SYSTEMD = Path("/lib/systemd/systemd")
UP_S = 60.0
CALL_S = 90.0
UNITS = "/run/units"

_NAMESPACES = ("unshare", "-m", "-p", "-f", "-u", "-i", "-n", "-C", "--kill-child")
_BOOT = """
set -e
root=$1/root
mkdir "$root" "$1/over"
mount -t tmpfs none "$1/over"
mkdir "$1/over/upper" "$1/over/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/over/upper,workdir=$1/over/work" "$root"
for at in run tmp dev opt root; do mkdir -p "$root/$at"; mount -t tmpfs -o mode=755 none "$root/$at"; done
chmod 1777 "$root/tmp"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs none "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 none "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount --rbind /sys "$root/sys"
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    umount -l "$root/sys/fs/cgroup"
    mount -t cgroup2 none "$root/sys/fs/cgroup"
fi
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
ip link set lo up
cp -r "$2/p2phub" "$root/opt/p2phub"
chmod -R a+rX "$root/opt/p2phub"
mkdir "$root/opt/python" "$root/opt/packages"
mount --bind "$3" "$root/opt/python"
mount --bind "$4" "$root/opt/packages"
cp -r "$1/units" "$root/run/units"
cp "$1/p2phub" "$root/usr/local/bin/p2phub"
chmod -R a+rX "$root/run/units"
chmod 755 "$root/usr/local/bin/p2phub"
export container=p2phub-test SYSTEMD_UNIT_PATH=/run/units LANG=C.UTF-8
exec chroot "$root" /lib/systemd/systemd --system --unit=boot.target --log-target=null --show-status=0
"""


@dataclass
class SystemdHost:
    """The machine: `number` is its process 1."""

    number: int

    def run(
        self, *command: str, user: str | None = None, within: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root or `user`, and return how it ended; `within`: more of its environment."""
        enter = ["nsenter", "-t", str(self.number), "-m", "-p", "-u", "-i", "-n", "-r", "-w"]
        become = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        environment = ["env", "-i", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", *within]
        return subprocess.run(
            [*enter, *environment, *become, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CALL_S,
            check=False,
        )

    def ask(self, *command: str, user: str | None = None, within: Sequence[str] = ()) -> str:
        """Run a command in it that has to succeed; return what it said."""
        ended = self.run(*command, user=user, within=within)
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.returncode}\n{ended.stdout}"
        return ended.stdout

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit, as `systemctl show` says it."""
        return self.ask("systemctl", "show", "--property", name, "--value", unit).strip()


@contextlib.contextmanager
def systemd_host(folder: Path, units: dict[str, str]) -> Iterator[SystemdHost]:
    """Make the machine in `folder`, with `units` (their files by path) and this p2phub at /usr/local/bin; skip the test
    where that cannot be done."""
    needed = ("unshare", "nsenter", "setpriv", "chroot", "ip", "mount", "useradd", "systemctl")
    missing = [name for name in needed if shutil.which(name) is None]
    if os.geteuid() != 0 or not SYSTEMD.exists() or missing:
        pytest.skip(f"this takes root and a systemd (not here: {', '.join(missing) or 'root, or systemd'})")
    everything = {
        **{f"{name}.target": "[Unit]\n" for name in ("sysinit", "basic", "shutdown", "network-online")},
        "boot.target": "[Unit]\nAllowIsolate=yes\nDefaultDependencies=no\n",
        **units,
    }
    for name, text in everything.items():
        file = folder / "units" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    python = Path(sys._base_executable)  # type: ignore[attr-defined]  # The environment's own is a link to it.
    prefix = Path(sys.base_prefix)
    program = f"/opt/python/{python.resolve().relative_to(prefix.resolve())}"
    (folder / "p2phub").write_text(
        "#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/python/lib PYTHONHOME=/opt/python PYTHONPATH=/opt:/opt/packages\n"
        f'exec {program} -m p2phub "$@"\n'
    )
    packages = sysconfig.get_path("purelib")
    holder = subprocess.Popen(
        [*_NAMESPACES, "sh", "-c", _BOOT, "boot", str(folder), str(ROOT), str(prefix), packages],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield SystemdHost(_booted(holder))
    finally:
        holder.kill()
        holder.communicate()


def _booted(holder: subprocess.Popen[str]) -> int:
    """Wait until the systemd that `holder` runs answers; return its process id. Skips the test if it never does."""
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    end = time.monotonic() + UP_S
    while holder.poll() is None and time.monotonic() < end:
        number = children.read_text().strip()
        if number and Path(f"/proc/{number}/comm").read_text() == "systemd\n":
            asked = SystemdHost(int(number)).run("systemctl", "is-active", "boot.target")
            if asked.stdout == "active\n":
                return int(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            holder.wait(0.1)
    holder.kill()
    pytest.skip(f"no systemd starts in namespaces here: {holder.communicate()[0].strip()[-300:]}")

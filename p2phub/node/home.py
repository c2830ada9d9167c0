"""The home of a node: one daemon at a time, and where that daemon listens for commands.

The lock is a flock on `daemon.lock`, which ends with the process however that ends. The file says which process holds
it and where its control socket is, because a command may run with another environment than the daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from p2phub.content import digest_of
from p2phub.errors import AlreadyRunning, NotTrusted, UsageError
from p2phub.store.disk import Disk, disk_errors, make_folder, read_regular

LOCK_FILE = "daemon.lock"
LOCK_BYTES_MAX = 4096
SOCKET_PATH_BYTES_MAX = 107  # sun_path has 108, the last for its zero.


@contextlib.contextmanager
def hold_home(home: Path) -> Iterator[None]:
    """Hold `home` as its one daemon for the length of the block. Raises AlreadyRunning, DiskError."""
    path = home / LOCK_FILE
    with disk_errors(f"lock {path}", option="--home"):
        make_folder(Disk(), home, 0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with disk_errors(f"lock {path}"):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _lock_lines(path)[0] or "of unknown number"
                raise AlreadyRunning(
                    f"a node is running for {home} already: process {holder}",
                    hint="use that one, stop it, or choose another --home",
                ) from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n{control_path(home)}\n".encode(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def control_path(home: Path) -> Path:
    """Return where a daemon of `home`, started here, listens for commands: `$XDG_RUNTIME_DIR/p2phub/`, else a folder
    of this user's own for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.path.isdir(runtime):
        folder = Path(runtime) / "p2phub"
    else:
        folder = Path(tempfile.gettempdir()) / f"p2phub-{os.geteuid()}"
    name = digest_of(os.fsencode(os.path.realpath(home))).raw.hex()[:24]
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise UsageError(f"{path} is too long for a socket", hint="set XDG_RUNTIME_DIR or TMPDIR to a shorter folder")
    return path


def control_paths(home: Path) -> list[Path]:
    """Return where a daemon of `home` may listen: what the daemon wrote down, then where one started here would."""
    written = _lock_lines(home / LOCK_FILE)[1]
    return list(dict.fromkeys([*([Path(written)] if written else []), control_path(home)]))


def make_private_folder(folder: Path) -> None:
    """Make `folder`, 0700, if there is none. Raises NotTrusted if what stands there could be another user's."""
    with disk_errors(f"make {folder}"):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise NotTrusted(
            f"{folder} is not a folder of this user alone", hint="move it away, or set XDG_RUNTIME_DIR to one that is"
        )


def _lock_lines(path: Path) -> tuple[str, str]:
    """Return the process and the socket that the lock file names; empty where it does not."""
    try:
        lines = os.fsdecode(read_regular(path, LOCK_BYTES_MAX)).split("\n")
    except OSError:
        return "", ""
    number = lines[0] if lines[0].isascii() and lines[0].isdigit() else ""
    return number, lines[1] if len(lines) > 1 and lines[1].startswith("/") else ""

"""What a file system lets files be called and linked like: a small value, found out by trying, that decisions go by.

Never told by the name of a platform: macOS has case-sensitive disks, Linux mounts FAT, and Windows has symbolic links
for some users. So it is tried in a folder of ours at the destination itself. Whoever decides takes the value as an
argument, so that the rules of any platform can be given on any other (`MACOS`, `WINDOWS`). Which paths a manifest may
have at all, on whatever system, is `manifest.check_paths`.
"""

from __future__ import annotations

import errno
import os
import unicodedata

import msgspec

from p2phub.errors import Occupied
from p2phub.store.disk import MAKE_FLAGS, Disk
from p2phub.store.folders import names_in

_CANNOT = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
_PROBES = ("probe-\u00e9", "probe")  # With a letter that has two forms, if such can stand there.


class FileRules(msgspec.Struct, frozen=True):
    """`symlinks`, `hard_links`: whether such can be made. `case_sensitive`, `form_sensitive`: whether names that are
    alike but for case, or but for Unicode's form, are two names."""

    symlinks: bool = True
    hard_links: bool = True
    case_sensitive: bool = True
    form_sensitive: bool = True

    def are_one(self, name: str, other: str) -> bool:
        """Whether two names mean one entry of a folder."""
        return self._folded(name) == self._folded(other)

    def _folded(self, name: str) -> str:
        if not self.form_sensitive:
            name = unicodedata.normalize("NFD", name)
        if not self.case_sensitive:
            name = name.casefold()
            name = name if self.form_sensitive else unicodedata.normalize("NFD", name)
        return name


POSIX = FileRules()
MACOS = FileRules(case_sensitive=False, form_sensitive=False)
WINDOWS = FileRules(symlinks=False, case_sensitive=False)
FAT = FileRules(symlinks=False, hard_links=False, case_sensitive=False)


def try_rules(disk: Disk, folder_fd: int) -> FileRules:
    """Find out what holds in an empty folder of ours, which is left as it was. Raises OSError."""
    symlinks = hard_links = False
    fd, probe = _make_probe(disk, folder_fd)
    other_form = unicodedata.normalize("NFD", probe)
    try:
        try:
            disk.symlink(probe, "symlink", dir_fd=folder_fd)
            symlinks = True
            disk.unlink("symlink", dir_fd=folder_fd)
        except OSError as exc:
            if exc.errno not in _CANNOT:
                raise
        try:
            disk.link(fd, "link", dir_fd=folder_fd)
            hard_links = True
            disk.unlink("link", dir_fd=folder_fd)
        except OSError as exc:
            if exc.errno not in {*_CANNOT, errno.ENOENT, errno.EXDEV}:  # No /proc: then none can be made here, either.
                raise
        return FileRules(
            symlinks=symlinks,
            hard_links=hard_links,
            case_sensitive=not disk.is_there(probe.upper(), dir_fd=folder_fd),
            form_sensitive=probe == other_form or not disk.is_there(other_form, dir_fd=folder_fd),
        )
    finally:
        os.close(fd)
        disk.unlink(probe, dir_fd=folder_fd)


def _make_probe(disk: Disk, folder_fd: int) -> tuple[int, str]:
    """Make a file; return its descriptor and name."""
    first, plain = _PROBES
    try:
        return disk.open(first, MAKE_FLAGS, 0o600, dir_fd=folder_fd), first
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.EILSEQ):
            raise
    return disk.open(plain, MAKE_FLAGS, 0o600, dir_fd=folder_fd), plain


def need_own_name(rules: FileRules, folder_fd: int, name: str, shown: str) -> None:
    """Raise Occupied if a folder has an entry that is another name, and would be taken for `name`; OSError.

    What differs in its form alone is the same name, as a system writes it down.
    """
    if rules.case_sensitive and rules.form_sensitive:
        return
    for other in names_in(folder_fd):
        if unicodedata.normalize("NFC", other) != unicodedata.normalize("NFC", name) and rules.are_one(name, other):
            raise Occupied(
                f"{shown} would be {other!r}, which stands there: on this file system they are one name",
                hint="call it otherwise, or name a place on another file system",
            )

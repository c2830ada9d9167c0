"""What came of a file of an upstream hub for a download that ended, and whether another one goes on from there.

Of a large file what comes is passed on before all of it can be checked, and none of it is synced meanwhile. A process
that is killed leaves what it wrote; a power cut leaves anything in its place, zeros, say. So it is noted in which run
of the machine a file was begun, and what is of an earlier run is not gone on with: whoever asked would get it as the
hub's. Small files, which are checked before they are passed on, begin anew in any case.

    .coming/<blob>        what came (store.hub_copy)
    .coming/<blob>.boot   during which run of the machine
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

from p2phub import limits
from p2phub.store.disk import disk_errors
from p2phub.store.hub_copy import HubCopy, HubFile

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@cache
def this_boot() -> str:
    """Return what names this run of the machine; where it has no name, this process."""
    try:
        return _BOOT.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return secrets.token_hex(16)


def bytes_begun(copy: HubCopy, file: HubFile) -> int:
    """Return how much of a file is here that a download would go on from. Blocks. Raises DiskError."""
    place = copy.coming(file)
    with disk_errors(f"read {place}"):
        return place.stat().st_size if _is_believed(place, file) else 0


def begin(copy: HubCopy, file: HubFile) -> Path:
    """Return where what comes of a file is written, with nothing in it but what a download may go on from. One download
    of a file at a time. Blocks. Raises DiskError."""
    place = copy.coming(file)
    with disk_errors(f"write to {place}"):
        if not _is_believed(place, file):
            os.truncate(place, 0)
            if file.size > limits.UPSTREAM_WHOLE_BYTES:  # After that: until then it says of what was there what it is.
                _mark(place).write_text(this_boot(), "ascii")
    return place


def end(copy: HubCopy, file: HubFile) -> None:
    """Forget a file of which nothing is coming any more. Blocks."""
    with suppress(OSError):
        _mark(copy.folder / ".coming" / file.blob).unlink()


def _is_believed(place: Path, file: HubFile) -> bool:
    if file.size <= limits.UPSTREAM_WHOLE_BYTES:
        return False
    try:
        return _mark(place).read_bytes() == this_boot().encode()
    except FileNotFoundError:
        return False


def _mark(place: Path) -> Path:
    return place.with_name(f"{place.name}.boot")

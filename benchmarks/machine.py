"""Say on what a run was made: figures of different machines, file systems or versions cannot be compared."""

import os
import platform
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

_PACKAGES = ("p2phub", "blake3", "pyOpenSSL", "cryptography", "libtorrent")


def describe(directory: Path) -> list[str]:
    """Return lines for the head of a report; `directory` is where the payloads are."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{_file_system(directory)}, load {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {', '.join(_versions(_PACKAGES, directory))}",
        _curl(),
    ]


def _versions(packages: Iterable[str], cache: Path) -> Iterable[str]:
    path = [*sys.path, *map(str, (cache / "peers").glob("*"))]  # a peer may stand in the benchmark's own cache
    for package in packages:
        found = next(iter(metadata.distributions(name=package, path=path)), None)
        yield f"{package} {found.version if found else '(not installed)'}"


def _curl() -> str:
    if shutil.which("curl") is None:
        return "no curl"
    said = subprocess.run(["curl", "-q", "--version"], capture_output=True, text=True, check=False).stdout
    return (said.splitlines() or ["curl of unknown version"])[0]


def _file_system(directory: Path) -> str:
    """Name the type of the file system: on tmpfs, for example, nothing can be durable."""
    best, kind = "", "unknown file system"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, fs_type, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, fs_type
    return kind

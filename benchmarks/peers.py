"""Install the peers of the race, into the benchmark's own cache and not into this machine's or p2phub's environment.

libtorrent comes from PyPI (as `pip install p2phub[bench]` has it, else pip into a directory of its own). nginx is the
one on PATH, or Debian's package, fetched with apt-get and only unpacked: no root, no service started. Where that is
not possible, the one command that helps is printed.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ContestantFailed

_INSTALL_S = 600.0


def install_libtorrent(cache: Path) -> str:
    """Return what PYTHONPATH must be for `import libtorrent`: "" if it is installed; raises ContestantFailed."""
    if importlib.util.find_spec("libtorrent") is not None:
        return ""
    target = cache / "peers" / f"libtorrent-{sys.implementation.cache_tag}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _must(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial), "libtorrent"],
            help_text="pip install libtorrent",
        )
        partial.rename(target)
    return str(target)


def find_nginx(cache: Path) -> str:
    """Return the path of an nginx program that starts; raises ContestantFailed."""
    help_text = "apt-get update && apt-get install nginx"
    target = cache / "peers" / "nginx"
    unpacked = target / "usr" / "sbin" / "nginx"
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None and not unpacked.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise ContestantFailed("nginx is not installed; install it, and it is found on PATH or in /usr/sbin")
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        download = ["apt-get", "-q", "download", "nginx"]
        try:
            _must(download, help_text=help_text, directory=partial)
        except ContestantFailed:
            if os.geteuid() != 0:
                raise
            _must(["apt-get", "-q", "update"], help_text=help_text)  # a fresh system has no package lists yet
            _must(download, help_text=help_text, directory=partial)
        for package in partial.glob("nginx_*.deb"):
            _must(["dpkg-deb", "-x", str(package), str(partial)], help_text=help_text)
        partial.rename(target)
    program = found or str(unpacked)
    _must([program, "-v"], help_text=help_text)  # a library that it needs may be missing
    return program


def _must(arguments: list[str], *, help_text: str, directory: Path | None = None) -> None:
    try:
        done = subprocess.run(arguments, cwd=directory, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ContestantFailed(f"{' '.join(arguments)}: {exc}\nby hand: {help_text}") from exc
    if done.returncode != 0:
        last_words = (done.stderr or done.stdout)[-2000:].strip()
        raise ContestantFailed(
            f"{' '.join(arguments)}: exit code {done.returncode}\n{last_words}\nby hand: {help_text}"
        )

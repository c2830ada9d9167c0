"""Install the peers of the race, into the benchmark's own cache and not into this machine's or p2phub's environment.

Packages of PyPI are used if they are installed (`pip install p2phub[bench]`), else pip puts them into a directory of
their own. Programs are the ones on PATH, or Debian's packages (with the libraries that are missing), fetched with
apt-get and only unpacked: no root, no service started. Where that is not possible, the one command that helps is
printed.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import ContestantFailed

_INSTALL_S = 600.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program that starts: its path, and what the environment must have besides ours."""

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)


def install_module(module: str, requirement: str, *, cache: Path) -> str:
    """Return what PYTHONPATH must be for `import module`: "" if it is installed; raises ContestantFailed."""
    return "" if importlib.util.find_spec(module) is not None else install_apart(requirement, cache=cache)


def install_apart(requirement: str, *, cache: Path) -> str:
    """Return a directory of PYTHONPATH that has this and what it needs, and nothing else; raises ContestantFailed."""
    target = cache / "peers" / f"{requirement}-{sys.implementation.cache_tag}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        _must(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial), requirement],
            help_text=f"pip install {requirement}",
        )
        partial.rename(target)
    return str(target)


def find_program(program: str, package: str, *, asked: str, cache: Path) -> Program:
    """Return a program of this name that answers to `asked` (like `--version`); `package` is Debian's name of it.

    Raises ContestantFailed.
    """
    help_text = f"apt-get update && apt-get install {package}"
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    ready = Program(found) if found else _unpacked(program, package, cache=cache, help_text=help_text)
    _must([ready.path, asked], help_text=help_text, environment=ready.environment)  # a library may be missing
    return ready


def _unpacked(program: str, package: str, *, cache: Path, help_text: str) -> Program:
    target = cache / "peers" / package
    if not target.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise ContestantFailed(f"{program} is not installed; install it, and it is found on PATH or in /usr/sbin")
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _download(package, partial, help_text=help_text)
        except ContestantFailed:
            if os.geteuid() != 0:
                raise
            _must(["apt-get", "-q", "update"], help_text=help_text)  # a fresh system has no package lists yet
            _download(package, partial, help_text=help_text)
        for archive in partial.glob("*.deb"):
            _must(["dpkg-deb", "-x", str(archive), str(partial)], help_text=help_text)
            archive.unlink()
        partial.rename(target)
    unpacked = next((path for where in ("usr/*bin", "*bin") for path in target.glob(f"{where}/{program}")), None)
    if unpacked is None:
        raise ContestantFailed(f"Debian's package {package} has no program {program}\nby hand: {help_text}")
    libraries = sorted({str(path.parent) for path in target.rglob("*.so*") if "modules" not in path.parts})
    return Program(str(unpacked), {"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})


def _download(package: str, directory: Path, *, help_text: str) -> None:
    """Fetch the archives of a package and of what it needs that this system has not."""
    planned = _must(
        ["apt-get", "install", "--simulate", "--no-install-recommends", "-q", package],
        help_text=help_text,
    )
    names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    if not names:  # installed, but not where programs are looked for
        names = [package]
    _must(["apt-get", "-q", "download", *names], help_text=help_text, directory=directory)


def _must(
    arguments: list[str],
    *,
    help_text: str,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return its stdout. Raises ContestantFailed with the last words and `help_text`."""
    try:
        done = subprocess.run(
            arguments,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ContestantFailed(f"{' '.join(arguments)}: {exc}\nby hand: {help_text}") from exc
    if done.returncode != 0:
        last_words = (done.stderr or done.stdout)[-2000:].strip()
        raise ContestantFailed(
            f"{' '.join(arguments)}: exit code {done.returncode}\n{last_words}\nby hand: {help_text}"
        )
    return done.stdout

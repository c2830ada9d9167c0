"""The options of `python -m benchmarks`: how much, how often, who, what, and where it is kept."""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.payload import GIB, MIB
from benchmarks.plan import EVERYBODY, GROUPS, NAMES

_UNITS = {"": 1, "MB": 10**6, "GB": 10**9, "MIB": MIB, "GIB": GIB}


def parse(arguments: Sequence[str] | None, *, description: str | None) -> argparse.Namespace:
    """Return the options, checked; ends the process, with what is wrong, if they are not."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2phub-bench"
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=description)
    parser.add_argument("--bytes", type=_byte_count, default=2 * GIB, help="payload, e.g. 256MiB (default: 2GiB)")
    parser.add_argument("--rounds", type=_positive, default=5, help="trials of each contestant (default: 5)")
    parser.add_argument(
        "--only",
        type=_names(EVERYBODY),
        default=EVERYBODY,
        metavar="NAME,...",
        help=f"contestants: {','.join(EVERYBODY)} (default: all)",
    )
    parser.add_argument(
        "--races",
        type=_names(NAMES, GROUPS),
        default=NAMES,
        metavar="NAME,...",
        help=f"what to measure: {','.join(NAMES)} (default: all); "
        + "; ".join(f"{group}: {','.join(names)}" for group, names in GROUPS.items()),
    )
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="for one requester (default: 600)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("BENCH_DIR") or kept),
        metavar="DIR",
        help="where payloads, peers and fetched files go (default: $BENCH_DIR, else %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every measurement here")
    options = parser.parse_args(arguments)
    if options.bytes < 16 * MIB:
        parser.error("--bytes: at least 16MiB")
    options.cache = options.cache.resolve()
    return options


def _byte_count(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?([A-Z]*)", text.upper())
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"not a number of bytes: {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"not a positive number: {text!r}")
    return int(text)


def _names(
    known: tuple[str, ...], groups: Mapping[str, tuple[str, ...]] | None = None
) -> Callable[[str], tuple[str, ...]]:
    """Return what parses a comma-separated choice of the known names; that of a group stands for all of its names."""

    def choose(text: str) -> tuple[str, ...]:
        each = (name for word in text.split(",") for name in (groups or {}).get(word, (word,)))
        chosen = tuple(dict.fromkeys(each))  # each once
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return chosen

    return choose

"""`python -m benchmarks`: race p2phub against its peers and the machine's limit, and say which targets are met.

Exit code 0 if nothing that was asked for failed and no measured target was missed, else 1; 130 if interrupted.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from benchmarks.alone import Alone, measure_help, measure_publish
from benchmarks.contestants import Bare, Contestant, Curl, P2phub, Torrent
from benchmarks.machine import describe
from benchmarks.payload import GIB, MIB, make_payload
from benchmarks.race import Race, run_race
from benchmarks.report import render, write_json
from benchmarks.targets import OURS, judge

_FILES = 4
_COLD_BYTES = MIB
_INTERRUPTED = 130
_CONTESTANTS = ("bare", OURS, "libtorrent", "curl")
_RACES = ("four", "one", "cold", "alone")
_UNITS = {"": 1, "MB": 10**6, "GB": 10**9, "MIB": MIB, "GIB": GIB}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print the report, return the exit code."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # so that what was started is ended, as with Ctrl-C
    options.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=options.cache) as work,
        tempfile.TemporaryDirectory(prefix="p2pb-") as runtime,
    ):
        try:
            return _measure(options, Path(work), Path(runtime))
        except KeyboardInterrupt:
            _tell("interrupted; everything that was started has been ended")
            return _INTERRUPTED


def _measure(options: argparse.Namespace, work: Path, runtime: Path) -> int:
    p2phub = P2phub(runtime=runtime)
    every: dict[str, Contestant] = {
        "bare": Bare(),
        OURS: p2phub,
        "libtorrent": Torrent(cache=options.cache),
        "curl": Curl(cache=options.cache),
    }
    contestants = [every[name] for name in _CONTESTANTS if name in options.only]
    shard_bytes = options.bytes // _FILES // 2 * 2
    sizes = {"four": (shard_bytes,) * _FILES, "one": (options.bytes // 2 * 2,), "cold": (_COLD_BYTES,)}
    titles = {"four": f"{_FILES} safetensors files", "one": "1 safetensors file", "cold": "1 MiB from a cold start"}
    races: dict[str, Race] = {}
    alone = Alone()
    for name in options.races:
        if name in sizes:
            _tell(f"{titles[name]}: making the payload, if it is not there yet")
            payload = make_payload(name, file_sizes=sizes[name], cache=options.cache)
            races[name] = run_race(
                titles[name],
                payload,
                contestants,
                rounds=options.rounds,
                work=work,
                timeout_s=options.timeout,
                tell=_tell,
            )
        elif OURS in options.only:
            payload = make_payload("four", file_sizes=sizes["four"], cache=options.cache)
            measure_help(alone, p2phub, work=work)
            measure_publish(
                alone, p2phub, payload, rounds=options.rounds, work=work, timeout_s=options.timeout, tell=_tell
            )
    verdicts = judge(races.get("four"), races.get("one"), races.get("cold"), alone)
    machine = describe(options.cache)
    print(render(machine, list(races.values()), alone, verdicts))
    if options.json:
        write_json(options.json, machine, list(races.values()), alone, verdicts)
    _tell(f"payloads and peers are kept in {options.cache} for the next run; delete it when you like")
    failed = alone.failures or any(standing.failures for race in races.values() for standing in race.standings.values())
    return 1 if failed or any(verdict.met is False for verdict in verdicts) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "p2phub-bench"
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules[__name__].__doc__)
    parser.add_argument("--bytes", type=_byte_count, default=2 * GIB, help="payload, e.g. 256MiB (default: 2GiB)")
    parser.add_argument("--rounds", type=_positive, default=5, help="trials of each contestant (default: 5)")
    parser.add_argument(
        "--only",
        type=_names(_CONTESTANTS),
        default=_CONTESTANTS,
        metavar="NAME,...",
        help=f"contestants: {','.join(_CONTESTANTS)} (default: all)",
    )
    parser.add_argument(
        "--races",
        type=_names(_RACES),
        default=_RACES,
        metavar="NAME,...",
        help=f"what to measure: {','.join(_RACES)} (default: all)",
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
    if options.bytes < 4 * MIB:
        parser.error("--bytes: at least 4MiB")
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


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return what parses a comma-separated choice of the known names."""

    def choose(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return chosen

    return choose


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""Which races there are: what each moves, and who takes part.

Sizes follow `--bytes`, so that a quick look is quick everywhere; at TARGET_BYTES they are what the targets are set for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import Scene
from benchmarks.payload import GIB, MIB, Payload, make_dataset, make_payload

TARGET_BYTES = 2 * GIB
OURS = "p2phub"
BUSY = "p2phub-busy"
_FILES = 4
_COLD_BYTES = MIB
_SMALL_FILES = 10_000
_SMALL_FILES_MIN = 100
_CROWD_SHARE = 4  # a race in a crowd moves this part of the payload
EVERYBODY = ("bare", OURS, BUSY, "libtorrent", "curl", "rsync", "aria2", "aria2-tls", "hf", "iroh", "kubo")
# Those that take minutes for one file or for ten thousand are told apart well enough by the first race.
_QUICK = ("bare", OURS, "libtorrent", "curl", "rsync")
CROWD = (OURS, "libtorrent")


@dataclass(frozen=True, slots=True)
class Plan:
    """One race: what it is called, who takes part, and how its payload is made of `--bytes` and the cache directory.

    In the title, `{files}` stands for the number of files.
    """

    title: str
    contestants: tuple[str, ...]
    make: Callable[[int, Path], Payload]


@dataclass(frozen=True, slots=True)
class CrowdPlan:
    """One race in a crowd: as `Plan`, and its scene."""

    title: str
    contestants: tuple[str, ...]
    scene: Scene
    make: Callable[[int, Path], Payload]


def four_files(size: int, cache: Path) -> Payload:
    """Return `size` bytes in four safetensors files."""
    return make_payload("four", file_sizes=(size // _FILES // 2 * 2,) * _FILES, cache=cache)


def _one_file(size: int, cache: Path) -> Payload:
    return make_payload("one", file_sizes=(size // 2 * 2,), cache=cache)


def _cold(size: int, cache: Path) -> Payload:
    return make_payload("cold", file_sizes=(_COLD_BYTES,), cache=cache)


def _small(size: int, cache: Path) -> Payload:
    files = min(_SMALL_FILES, max(_SMALL_FILES_MIN, _SMALL_FILES * size // TARGET_BYTES))
    return make_dataset("small", files=files, cache=cache)


def _part(size: int, cache: Path) -> Payload:
    return four_files(size // _CROWD_SHARE, cache)


RACES: dict[str, Plan] = {
    "four": Plan("4 safetensors files", EVERYBODY, four_files),
    "one": Plan("1 safetensors file", _QUICK, _one_file),
    "small": Plan("{files:,} files of 4-64 KiB, a dataset", _QUICK, _small),
    "cold": Plan("1 MiB from a cold start", tuple(name for name in EVERYBODY if name != BUSY), _cold),
}
CROWD_RACES: dict[str, CrowdPlan] = {
    "swarm": CrowdPlan("8 requesters of a provider capped at 50 MB/s", CROWD, Scene(1, 8, 50_000_000), _part),
    "capped": CrowdPlan("1 requester of a provider capped at 50 MB/s", CROWD, Scene(1, 1, 50_000_000), _part),
    "many": CrowdPlan("1 requester of 4 providers capped at 100 MB/s", CROWD, Scene(4, 1, 100_000_000), four_files),
}
ALONE = "alone"
SIMULATED = "simulated"
NAMES = (*RACES, *CROWD_RACES, ALONE, SIMULATED)

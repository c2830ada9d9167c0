"""Which races there are: what each moves, and who takes part.

Sizes follow `--bytes`, so that a quick look is quick everywhere; at TARGET_BYTES they are what the targets are set for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import Scene
from benchmarks.line import Line
from benchmarks.payload import GIB, MIB, Payload, make_dataset, make_payload

TARGET_BYTES = 2 * GIB
OURS = "p2phub"
BUSY = "p2phub-busy"
DISK = "disk"
LIMITS = ("bare", DISK)
_FILES = 4
_COLD_BYTES = MIB
_SMALL_FILES = 10_000
_SMALL_FILES_MIN = 100
_PART = 4  # a race in a crowd, or over a long line, moves this part of the payload
# Far more than one connection brings, and less than `programs.line` can carry beside two busy contestants.
_GIGABIT = Line(125_000_000, 0.1)
EVERYBODY = ("bare", DISK, OURS, BUSY, "libtorrent", "curl", "rsync", "aria2", "aria2-tls", "hf", "iroh", "kubo")
# Those that take minutes for one file or for ten thousand are told apart well enough by the first race.
_QUICK = ("bare", OURS, "libtorrent", "curl", "rsync")
_LARGE = ("bare", DISK, *_QUICK[1:])
CROWD = (OURS, "libtorrent")
FAR = ("bare", OURS, "libtorrent", "curl")


@dataclass(frozen=True, slots=True)
class Plan:
    """One race: what it is about, who takes part, and how its payload is made of `--bytes` and the cache directory.

    With a line: over that one, and else on loopback.
    """

    subject: str
    contestants: tuple[str, ...]
    make: Callable[[int, Path], Payload]
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class CrowdPlan:
    """One race in a crowd: as `Plan`, and its scene."""

    contestants: tuple[str, ...]
    scene: Scene
    make: Callable[[int, Path], Payload]

    @property
    def subject(self) -> str:
        """What it is about: how many of whom, and which cap."""
        scene = self.scene
        crowd, sources = _counted(scene.requesters, "requester"), _counted(scene.providers, "provider")
        return f"{crowd}, {sources} capped at {scene.cap_bytes_per_s / 1e6:g} MB/s"


def title_of(plan: Plan | CrowdPlan, payload: Payload) -> str:
    """Return what was run: the subject, and what was really moved, whatever `--bytes` made of it."""
    many = f"{len(payload.files):,} " if len(payload.files) > _FILES else ""
    return f"{many}{plan.subject}, {payload.size / MIB:,.0f} MiB"


def four_files(size: int, cache: Path) -> Payload:
    """Return `size` bytes in four safetensors files."""
    return make_payload("four", file_sizes=(size // _FILES // 2 * 2,) * _FILES, cache=cache)


def one_file(size: int, cache: Path) -> Payload:
    """Return `size` bytes in one safetensors file."""
    return make_payload("one", file_sizes=(size // 2 * 2,), cache=cache)


def _cold(size: int, cache: Path) -> Payload:
    return make_payload("cold", file_sizes=(_COLD_BYTES,), cache=cache)


def small_files(size: int, cache: Path) -> Payload:
    """Return a dataset of small files, 10,000 for TARGET_BYTES."""
    files = min(_SMALL_FILES, max(_SMALL_FILES_MIN, _SMALL_FILES * size // TARGET_BYTES))
    return make_dataset("small", files=files, cache=cache)


def _part(size: int, cache: Path) -> Payload:
    return four_files(size // _PART, cache)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


RACES: dict[str, Plan] = {
    "four": Plan("4 safetensors files", EVERYBODY, four_files),
    "one": Plan("1 safetensors file", _LARGE, one_file),
    "small": Plan("small files of 4-64 KiB", _QUICK, small_files),
    "cold": Plan("cold start", tuple(name for name in EVERYBODY if name not in (BUSY, DISK)), _cold),
    "far": Plan(f"4 safetensors files over {_GIGABIT}", FAR, _part, _GIGABIT),
}
CROWD_RACES: dict[str, CrowdPlan] = {
    "swarm": CrowdPlan(CROWD, Scene(1, 8, 50_000_000), _part),
    "capped": CrowdPlan(CROWD, Scene(1, 1, 50_000_000), _part),
    "many": CrowdPlan(CROWD, Scene(4, 1, 100_000_000), four_files),
}
ALONE = "alone"
HELD = "held"
SEARCH = "search"
SIMULATED = "simulated"
STORE = {
    "adopt": "a cache of another program, adopted",
    "changed": "another form of a held model, fetched",
    "readme": "a repository of 100 GB whose README changed",
    "reuse": "a renamed copy of a held model, nobody to ask",
    "reflink": "the same where the file system shares blocks",
    "tensors": "a part of a model",
    "terabyte": "a model of 1 TB, highest resident memory",
}
"""What the store is measured by, one copy on disk: subjects by their names."""
GATEWAY = {
    "gw-curl": "a held file, through the gateway, to curl",
    "gw-hub": "the same to huggingface_hub",
    "gw-fetched": "a model that a peer has, through the gateway",
    "gw-first": "a range of a file that a peer has, through the gateway",
    "gw-readers": "slow readers of a held file, through the gateway",
}
"""What the gateway is measured by: subjects by their names."""
SUBJECTS = {**STORE, **GATEWAY}
NAMES = (*RACES, *CROWD_RACES, ALONE, *SUBJECTS, HELD, SEARCH, SIMULATED)
GROUPS = {"store": (*STORE, HELD), "gateway": tuple(GATEWAY)}
"""Names for several of them."""

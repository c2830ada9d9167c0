"""What a search takes among as many releases as a node remembers: through `Hub.search`, in this process.

The index is made once, of made-up releases, and kept in the cache directory: families of models by Zipf's law, one name
in three of the commonest, and words of titles by it, too. Each question is asked many times, as it is typed.
"""

import itertools
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from benchmarks.plan import TARGET_BYTES
from benchmarks.processes import ContestantFailed
from benchmarks.race import How
from p2phub.api import open_hub
from p2phub.catalog import Entry, Query
from p2phub.store import Told
from p2phub.store.catalog_database import CATALOG, CatalogDatabase

_ROWS = 1_000_000
_ROWS_MIN = 10_000
_AT_ONCE = 20_000
_ASKED = 40  # Times, of each kind of question in each round.
_SEED = 1
_VOCABULARY = 50_000
_FAMILIES = ("llama", "qwen", "mistral", "gemma", "phi", "falcon", "bert", "whisper", "stable", "yi")
_FORMATS = ("safetensors", "gguf", "parquet", "pytorch", "onnx")
_SIZES = ("1b", "3b", "7b", "8b", "13b", "70b")
_LICENCES = ("apache-2.0", "mit", "llama3.1")
_SINCE, _FOR_S = 1_700_000_000, 90_000_000

FAMILY, FAMILY_FORMAT, RARE = "family", "family and format", "two rare words"
BEGUN, LETTER = "three letters", "one letter"
KINDS = (FAMILY, FAMILY_FORMAT, BEGUN, LETTER, RARE)


@dataclass(slots=True)
class Search:
    """`rows` that are searched; seconds of making the index (None: it was there) and its bytes; milliseconds of each
    answer, by what was asked, and of processor time for it; and what failed."""

    rows: int = 0
    made_s: float | None = None
    bytes: int = 0
    took_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def within(took: Sequence[float], share: float) -> float:
    """Return what so large a share of them took at most."""
    return sorted(took)[max(0, math.ceil(len(took) * share) - 1)]


def measure_search(search: Search, size: int, cache: Path, how: How) -> None:
    """Make the index, of a million rows at full `size`, unless it is there; then ask it."""
    rows = min(_ROWS, max(_ROWS_MIN, _ROWS * size // TARGET_BYTES))
    home = cache / f"search-{rows}"
    search.rows = rows
    search.made_s = _make(home, rows, how)
    search.bytes = (home / CATALOG).stat().st_size
    try:
        trio.run(_ask, home, search, how)
    except ContestantFailed as failure:
        search.failures.append(str(failure))
        how.tell("search: FAILED")


def _make(home: Path, rows: int, how: How) -> float | None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    index = CatalogDatabase(home)
    try:
        known = index.count(Query())
        if known == rows:
            return None
        if known:  # That was interrupted.
            index.close()
            (home / CATALOG).unlink()
            index = CatalogDatabase(home)
        how.tell(f"search: making an index of {rows:,} rows")
        took = 0.0
        for number in range(0, rows, _AT_ONCE):
            some = [Told(entry, b"made up.") for entry in _entries(number, min(number + _AT_ONCE, rows), rows)]
            began = time.perf_counter()
            index.put(some)
            took += time.perf_counter() - began
        return took
    finally:
        index.close()


async def _ask(home: Path, search: Search, how: How) -> None:
    async with open_hub(home=home, lan=False) as hub:
        await hub.search("")  # Opens it.
        for number in range(how.rounds):
            chance = random.Random(_SEED + number)
            for kind in KINDS:
                took, busy = search.took_ms.setdefault(kind, []), search.cpu_ms.setdefault(kind, [])
                for _ in range(_ASKED):
                    words, least = _question(kind, chance)
                    began, busy_before = time.perf_counter(), time.process_time()
                    found = await hub.search(words)
                    took.append((time.perf_counter() - began) * 1e3)
                    busy.append((time.process_time() - busy_before) * 1e3)
                    if len(found["items"]) < least:
                        raise ContestantFailed(f"{words!r} found {len(found['items'])} of {search.rows:,}, not {least}")
            how.tell(f"search, round {number + 1}: done")


def _question(kind: str, chance: random.Random) -> tuple[str, int]:
    """Return what is typed, and how many are found at least."""
    family = chance.choice(_FAMILIES[:5])
    if kind == FAMILY:
        return family, 30
    if kind == FAMILY_FORMAT:
        return f"{family} {chance.choice(_FORMATS[:3])}", 30
    if kind == BEGUN:
        return family[:3], 30
    if kind == LETTER:
        return family[:1], 30
    words = _words()
    return f"{chance.choice(words[_VOCABULARY // 10 :])} {chance.choice(words[_VOCABULARY // 10 :])}", 0


def _entries(first: int, stop: int, rows: int) -> Iterator[Entry]:
    """Yield releases, the oldest first, as a node hears of them."""
    chance = random.Random(_SEED * 1_000_003 + first)
    words, weights = _words(), _zipf(_VOCABULARY)
    families = _zipf(len(_FAMILIES))
    publishers = [random.Random(number).randbytes(32) for number in range(4000)]
    for number in range(first, stop):
        family = chance.choices(_FAMILIES, cum_weights=families)[0]
        some = chance.choices(words, cum_weights=weights, k=10)
        yield Entry(
            publisher=chance.choice(publishers),
            name=f"{family}-{some[0]}-{chance.choice(_SIZES)}-{some[1]}-{number:x}"[:64],
            tag="main",
            manifest=chance.randbytes(32),
            kind="dataset" if chance.random() < 0.2 else "model",
            title=" ".join(some[2:]),
            licence=chance.choice(_LICENCES),
            formats=(chance.choices(_FORMATS, weights=(5, 4, 2, 1, 1))[0],),
            size=chance.randrange(1 << 36),
            files=chance.randrange(1, 40),
            created=_SINCE + _FOR_S * number // rows,
            sequence=number + 1,
            seen=_SINCE + _FOR_S,
        )


def _words() -> list[str]:
    chance = random.Random(_SEED)
    syllables = [one + two for one in "bcdfghklmnprstvwz" for two in "aeiou"]
    return ["".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(_VOCABULARY)]


def _zipf(count: int) -> list[float]:
    """Return the cumulated weights of so many, the commonest first."""
    return list(itertools.accumulate(1 / (number + 1) for number in range(count)))

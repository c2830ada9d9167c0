"""Two hundred kills (-9) at random moments, forty each of publish, adopt, fetch, repair and gc, as real processes.

After each kill the home is opened and every chunk that it claims is read back; then the same command goes on, perhaps
to be killed again, and at last ends: bit for bit. What a kill may cost is 64 MiB of verified work or 2 s of it.

How that is counted, and what it does not say: tests/support/killed_jobs.py. In short, of *hashing* the files at hand
count, too: one of them takes several times 2 s, the others are of 8 MiB, which are hashed whole or not at all. "2 s" is
counted by the pass's own tellings, four a second, so that a busy machine changes nothing; what was seen by the clock,
stalls included, says docs/decisions/0099-half-a-file.md. It is made to read as from a slow disk, or it would be over
before it had noted anything. Where no SHA-256 can be saved (engine/sha256) the large file is lost whole: there the
promise is not kept, and this fails. Of *arriving* nothing is lost to kill -9 but what was under way: the pages live on
in the system. What a power cut takes is tests/properties/test_store_power_cut.py.

The seed is printed; P2PHUB_KILLS_SEED=N draws the same moments again (what they hit is up to the machine), and
P2PHUB_KILLS=N kills each so many times instead of forty.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.covers import covers
from tests.support.hub_cache import Repository
from tests.support.killed_jobs import Adopting, Collecting, Fetching, Publisher, Publishing, Repairing
from tests.support.kills import Job, run_through_kills
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Scene

pytestmark = pytest.mark.endurance

MIB = 1 << 20
KILLS = int(os.environ.get("P2PHUB_KILLS") or 40)
FILE_BYTES = 8 * MIB
HASHED_FILES = 16
LARGE_BYTES = 240 * MIB
READ_RATE = 40 * MIB
"""Of what hashes, in bytes a second: so that a pass takes four times as long as it goes without noting what it did."""
SEED = int(os.environ.get("P2PHUB_KILLS_SEED") or secrets.randbits(32))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path / "scene") as scene:
        yield scene
    shutil.rmtree(tmp_path)


def forty(job: Job, what: str, *, kills: int = KILLS) -> None:
    """Kill a job, and print what that cost."""
    began = time.monotonic()
    tally = run_through_kills(job, kills, Random(f"{SEED} {what}"))
    print(f"seed {SEED}, {what}: {tally}; in {time.monotonic() - began:.0f} s")
    assert tally.kills == kills


def test_forty_kills_of_a_publish(scene: Scene, tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", HASHED_FILES * FILE_BYTES, files=HASHED_FILES, seed=1)
    large = make_safetensors_folder(tmp_path / "large", LARGE_BYTES, files=1, seed=2)
    (file,) = large.glob("*.safetensors")
    file.rename(model / "large.safetensors")
    before = tree_digest(model)
    forty(Publishing(scene, model, bytes_per_s=READ_RATE), "publish")
    assert tree_digest(model) == before


def test_forty_kills_of_an_adopt(scene: Scene, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "hub", "models--org--name")
    for number in range(HASHED_FILES):
        repository.add(f"part-{number:02}.bin", Random(number).randbytes(FILE_BYTES), lfs=True)
    repository.add("large.bin", Random(HASHED_FILES).randbytes(LARGE_BYTES), lfs=True)
    repository.list()
    before = tree_digest(tmp_path / "hub")
    forty(Adopting(scene, repository, bytes_per_s=READ_RATE), "adopt")
    assert tree_digest(tmp_path / "hub") == before


@covers("F01")
def test_forty_kills_of_a_fetch_half_of_them_where_half_of_it_is_here(scene: Scene, tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 384 * MIB, files=6, seed=2)
    alike = make_safetensors_folder(tmp_path / "alike", 32 * MIB, files=2, seed=3)
    for file in sorted(model.glob("*.safetensors"))[:3]:
        shutil.copyfile(file, alike / f"from-{file.name}")
    publisher = Publisher(scene)
    forty(Fetching(scene, publisher, model, tmp_path / "copy"), "fetch", kills=KILLS // 2)
    other = Fetching(scene, publisher, model, tmp_path / "other", alike=alike)
    forty(other, "fetch with local reuse", kills=KILLS - KILLS // 2)


@covers("F33")
def test_forty_kills_of_a_repair(scene: Scene, tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 192 * MIB, files=6, seed=4)
    damage = Random(f"{SEED} damage")
    forty(Repairing(scene, Publisher(scene), model, tmp_path / "copy", damage), "repair")


@covers("F33")
def test_forty_kills_of_a_collection(scene: Scene, tmp_path: Path) -> None:
    models = [
        make_safetensors_folder(tmp_path / f"model-{number}", 4 * MIB, files=100, seed=number) for number in range(6)
    ]
    forty(Collecting(scene, Publisher(scene), pinned=models[:3], loose=models[3:]), "gc")

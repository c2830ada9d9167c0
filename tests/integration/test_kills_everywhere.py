"""kill -9 at a few random moments of publish, adopt, fetch, repair and gc: each goes on, nothing wrong is claimed.

Two hundred of them, of models of some hundred MiB: tests/endurance/test_kills_everywhere.py.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.support.covers import covers
from tests.support.hub_cache import Repository
from tests.support.killed_jobs import Adopting, Collecting, Fetching, Publisher, Publishing, Repairing
from tests.support.kills import Job, run_through_kills
from tests.support.models import make_safetensors_folder
from tests.support.processes import Scene

MIB = 1 << 20
KILLS = 2
SPAN_S = 0.15
"""The latest moment of a kill: about as long as each takes for so little, from when its home is open."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", 16 * MIB, files=4, seed=1)


def kill_a_few(job: Job, *, seed: int) -> None:
    run_through_kills(job, KILLS, Random(seed), in_a_row=(KILLS, KILLS), span_s=SPAN_S)


def test_a_killed_publish_goes_on_and_signs_the_same(scene: Scene, model: Path) -> None:
    kill_a_few(Publishing(scene, model), seed=1)


def test_a_killed_adopt_goes_on_and_holds_the_same(scene: Scene, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "hub", "models--org--name")
    for number in range(4):
        repository.add(f"{number}.bin", Random(number).randbytes(4 * MIB), lfs=True)
    repository.list()
    kill_a_few(Adopting(scene, repository), seed=2)


@covers("F01")
def test_a_killed_fetch_goes_on_with_and_without_files_of_this_disk(scene: Scene, model: Path, tmp_path: Path) -> None:
    publisher = Publisher(scene)
    kill_a_few(Fetching(scene, publisher, model, tmp_path / "copy"), seed=3)
    alike = make_safetensors_folder(tmp_path / "alike", 8 * MIB, files=2, seed=2)
    for file in sorted(model.glob("*.safetensors"))[:2]:
        (alike / f"from-{file.name}").write_bytes(file.read_bytes())
    kill_a_few(Fetching(scene, publisher, model, tmp_path / "other", alike=alike), seed=4)


@covers("F33")
def test_a_killed_repair_goes_on_and_ends_bit_for_bit(scene: Scene, model: Path, tmp_path: Path) -> None:
    kill_a_few(Repairing(scene, Publisher(scene), model, tmp_path / "copy", Random(7)), seed=5)


@covers("F33")
def test_a_killed_collection_loses_nothing_pinned_and_the_next_completes(scene: Scene, tmp_path: Path) -> None:
    models = [make_safetensors_folder(tmp_path / f"model-{n}", MIB, files=20, seed=n) for n in range(3)]
    kill_a_few(Collecting(scene, Publisher(scene), pinned=models[:1], loose=models[1:]), seed=6)

"""Unchanged tools read `p2phub://` paths: pandas, duckdb, `datasets`, fsspec's own caches. The user has installed
p2phub, and a home that holds nothing; a node in another process has the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2phub import limits
from tests.support.came import came_to
from tests.support.entry_points import entry_points_in
from tests.support.hf_client import HfClient
from tests.support.house import ROOT
from tests.support.processes import Node, Scene

pytestmark = pytest.mark.clients

MIB = limits.MIB
ROWS = 20_000
SHARDS = 2
FIRST_ROW_BYTES_MAX = 4 * MIB
AHEAD_BYTES = 3 * 1_000 * 1_120  # Up to three row groups, which pyarrow asks for while it decodes the first.

LOAD = """
import os
import datasets
datasets.disable_progress_bars()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards that cannot be compressed, in row groups of a MiB, about."""
    folder = tmp_path_factory.mktemp("published")
    for shard in range(SHARDS):
        random = Random(shard)
        rows = range(shard * ROWS, (shard + 1) * ROWS)
        columns = {"id": pa.array(rows, pa.int64()), "noise": pa.array([random.randbytes(1100) for _ in rows])}
        path = folder / f"{shard}.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=1_000, compression="none")
        assert path.stat().st_size > 20 * MIB
    (folder / "people.csv").write_text("name,age\nann,1\nbob,2\n")
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        yield scene


class Ann(NamedTuple):
    """Who has it."""

    node: Node
    url: str


@pytest.fixture(scope="module")
def ann(scene: Scene, folder: Path) -> Ann:
    reference = scene.publish("ann", folder, name="noise", arguments=["--kind", "dataset"])["reference"]
    return Ann(scene.node("ann"), f"p2phub://{reference}")


class Bob(NamedTuple):
    """Who reads, and the home."""

    user: HfClient
    home: Path


@pytest.fixture(params=["with a node", "without"])
def bob(request: pytest.FixtureRequest, ann: Ann, tmp_path: Path) -> Iterator[Bob]:
    with Scene(tmp_path / "scene") as scene:
        if request.param == "with a node":
            scene.node("bob", "--bootstrap", ann.node.address)
        settings = {
            "PYTHONPATH": f"{ROOT}:{entry_points_in(tmp_path / 'points')}",
            "P2PHUB_HOME": str(scene.home("bob")),
            "P2PHUB_BOOTSTRAP": ann.node.address,
            "P2PHUB_NO_LAN": "1",
        }
        yield Bob(HfClient(tmp_path / "hf", "http://127.0.0.1:9", settings), scene.home("bob"))


def noise(shard: int, number: int) -> str:
    random = Random(shard)
    for _ in range(number):
        random.randbytes(1100)
    return random.randbytes(1100).hex()


def test_pandas_reads_a_table_by_its_path(bob: Bob, ann: Ann) -> None:
    code = """
import pandas
people = pandas.read_csv(sys.argv[1] + "/people.csv")
frame = pandas.read_parquet(sys.argv[1] + "/1.parquet", columns=["id"])
print(json.dumps([people.to_dict("records"), len(frame), int(frame["id"].iloc[-1])]))
"""
    expected = [[{"name": "ann", "age": 1}, {"name": "bob", "age": 2}], ROWS, SHARDS * ROWS - 1]
    assert bob.user.python(code, ann.url) == expected
    assert came_to(bob.home) < 24 * MIB


def test_duckdb_queries_tables_by_their_paths(bob: Bob, ann: Ann) -> None:
    code = """
import duckdb, fsspec
con = duckdb.connect()
con.register_filesystem(fsspec.filesystem("p2phub"))
every = f"{sys.argv[1]}/*.parquet"
counted = con.sql(f"select count(*), max(id) from read_parquet('{every}')").fetchall()
one = con.sql(f"select noise from read_parquet('{every}') where id = 21000").fetchall()
print(json.dumps([list(counted[0]), one[0][0].hex()]))
"""
    assert bob.user.python(code, ann.url) == [[SHARDS * ROWS, SHARDS * ROWS - 1], noise(1, 1_000)]


def test_datasets_loads_files_with_several_processes(bob: Bob, ann: Ann) -> None:
    code = (
        LOAD
        + """
files = [f"{sys.argv[1]}/{shard}.parquet" for shard in range(2)]
ds = datasets.load_dataset("parquet", data_files=files, split="train", num_proc=2)
print(json.dumps([len(ds), ds[0]["noise"].hex(), ds[21000]["id"]]))
"""
    )
    assert bob.user.python(code, ann.url) == [SHARDS * ROWS, noise(0, 0), 21_000]


def test_datasets_streams_files_also_from_forked_workers(bob: Bob, ann: Ann) -> None:
    code = (
        LOAD
        + """
from multiprocessing import get_context
ds = datasets.load_dataset("parquet", data_files=f"{sys.argv[1]}/*.parquet", split="train", streaming=True)
first = next(iter(ds.select_columns(["id"])))
def count(shard):
    return sum(each["id"] for each in ds.select_columns(["id"]).shard(2, shard))
with get_context("fork").Pool(2) as workers:
    print(json.dumps([first, sorted(workers.map(count, range(2)))]), flush=True)
os._exit(0)
"""
    )
    sums = [sum(range(shard * ROWS, (shard + 1) * ROWS)) for shard in range(SHARDS)]
    assert bob.user.python(code, ann.url) == [{"id": 0}, sums]


def test_the_first_row_of_a_stream_comes_with_a_little_of_the_data_set(bob: Bob, ann: Ann) -> None:
    code = (
        LOAD
        + """
import pyarrow, pyarrow.dataset
options = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
files = f"{sys.argv[1]}/*.parquet"
ds = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, fragment_scan_options=options)
print(json.dumps(next(iter(ds))["noise"].hex()), flush=True)
os._exit(0)
"""
    )
    assert bob.user.python(code, ann.url) == noise(0, 0)
    assert came_to(bob.home) <= FIRST_ROW_BYTES_MAX + AHEAD_BYTES


def test_fsspec_keeps_whole_files_where_it_is_told_to(bob: Bob, ann: Ann, tmp_path: Path) -> None:
    code = """
import fsspec
url = sys.argv[1].replace("p2phub://", "simplecache::p2phub://") + "/people.csv"
with fsspec.open(url, "r", simplecache={"cache_storage": sys.argv[2]}) as file:
    print(json.dumps(file.read()))
"""
    assert bob.user.python(code, ann.url, str(tmp_path / "kept")) == "name,age\nann,1\nbob,2\n"

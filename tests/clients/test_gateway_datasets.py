"""Data sets by unchanged tools through a gateway whose node holds nothing, and fetches from a second node."""

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
from tests.support.hf_client import HfClient
from tests.support.processes import Node, Scene

pytestmark = pytest.mark.clients

MIB = limits.MIB
NAME = "acme/noise"
ROWS = 20_000
GROUP = 1_000
AHEAD_BYTES = 3 * GROUP * 1_120  # Up to three row groups, which pyarrow asks for while it decodes the first.
SHARDS = 2
FIRST_ROW_BYTES_MAX = 4 * MIB
CHUNK_BYTES = MIB
END_S = 120.0

LOAD = """
import os
import datasets
datasets.disable_progress_bars()
"""
"""A script that leaves a stream in its middle ends by `os._exit`: pyarrow may abort at the interpreter's own end, with
a file of this disk, too (apache/arrow issue 45214)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards that cannot be compressed."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "data").mkdir()
    for shard in range(SHARDS):
        random = Random(shard)
        rows = range(shard * ROWS, (shard + 1) * ROWS)
        columns = {"id": pa.array(rows, pa.int64()), "noise": pa.array([random.randbytes(1100) for _ in rows])}
        path = folder / f"data/train-{shard:05}-of-{SHARDS:05}.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=GROUP, compression="none")
        assert path.stat().st_size > 20 * MIB
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Noise\n")
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        yield scene


class Ann(NamedTuple):
    """Who has it."""

    node: Node
    reference: str


@pytest.fixture(scope="module")
def ann(scene: Scene, folder: Path) -> Ann:
    reference = scene.publish("ann", folder, name="noise", arguments=["--kind", "dataset"])["reference"]
    return Ann(scene.node("ann"), str(reference))


class Bob(NamedTuple):
    """Who reads: a user of the gateway of a node that holds nothing, and the home of that."""

    user: HfClient
    home: Path


@pytest.fixture
def bob(ann: Ann, tmp_path: Path) -> Iterator[Bob]:
    with Scene(tmp_path / "scene") as scene:
        assert scene.start("bob", "name", "add", NAME, ann.reference).finish(timeout_s=END_S) == 0
        node = scene.node("bob", "--gateway", "127.0.0.1:0", "--bootstrap", ann.node.address)
        yield Bob(HfClient(tmp_path / "hf", node.ready["gateway"]), scene.home("bob"))


def row(shard: int, number: int) -> str:
    random = Random(shard)
    for _ in range(number):
        random.randbytes(1100)
    return random.randbytes(1100).hex()


def test_a_data_set_is_loaded_by_its_name(bob: Bob, folder: Path) -> None:
    code = (
        LOAD
        + """
ds = datasets.load_dataset(sys.argv[1], split="train")
print(json.dumps([len(ds), ds[0]["noise"].hex(), ds[-1]["id"], ds[21000]["id"], ds.features["id"].dtype]))
"""
    )
    assert bob.user.python(code, NAME) == [SHARDS * ROWS, row(0, 0), SHARDS * ROWS - 1, 21_000, "int64"]
    assert bob.user.offline().python(code, NAME)[0] == SHARDS * ROWS


def test_for_the_first_row_of_a_stream_no_more_moves_than_the_client_asks_for(bob: Bob) -> None:
    """By itself it asks for all that lies side by side in a file, up to 32 MiB."""
    code = (
        LOAD
        + """
from huggingface_hub.hf_file_system import HfFileSystemFile
asked, fetch = [], HfFileSystemFile._fetch_range
def _fetch_range(self, start, end):
    asked.append(end - start)
    return fetch(self, start, end)
HfFileSystemFile._fetch_range = _fetch_range
ds = datasets.load_dataset(sys.argv[1], split="train", streaming=True)
print(json.dumps([next(iter(ds))["noise"].hex(), max(asked)]), flush=True)
os._exit(0)
"""
    )
    first, most = bob.user.python(code, NAME)
    assert first == row(0, 0)
    assert came_to(bob.home) <= most + 2 * CHUNK_BYTES


def test_the_first_row_of_a_stream_comes_with_a_little_of_the_data_set(bob: Bob) -> None:
    """With what the client has for that: shorter steps, of pyarrow's and of its own. pyarrow asks for the next row
    groups while it decodes the first, one or as many as three."""
    code = (
        LOAD
        + """
import pyarrow, pyarrow.dataset
ds = datasets.load_dataset(
    sys.argv[1],
    split="train",
    streaming=True,
    fragment_scan_options=pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False),
    storage_options={"hf": {"block_size": 1 << 18}},
)
print(json.dumps(next(iter(ds))["noise"].hex()), flush=True)
os._exit(0)
"""
    )
    assert bob.user.python(code, NAME) == row(0, 0)
    assert came_to(bob.home) <= FIRST_ROW_BYTES_MAX + AHEAD_BYTES


def test_a_stream_gives_every_row_in_order(bob: Bob) -> None:
    code = (
        LOAD
        + """
ds = datasets.load_dataset(sys.argv[1], split="train", streaming=True)
counted = sum(1 for _ in ds.select_columns(["id"]))
print(json.dumps([counted, [each["id"] for each in ds.skip(19_999).take(2)]]), flush=True)
os._exit(0)
"""
    )
    assert bob.user.python(code, NAME) == [SHARDS * ROWS, [19_999, 20_000]]


def test_pandas_and_duckdb_read_by_the_clients_own_paths(bob: Bob) -> None:
    code = """
import duckdb, pandas
from huggingface_hub import HfFileSystem
first = f"hf://datasets/{sys.argv[1]}/data/train-00000-of-00002.parquet"
frame = pandas.read_parquet(first, columns=["id"])
con = duckdb.connect()
con.register_filesystem(HfFileSystem())
every = f"hf://datasets/{sys.argv[1]}/data/*.parquet"
counted = con.sql(f"select count(*), max(id) from read_parquet('{every}')").fetchall()
one = con.sql(f"select noise from read_parquet('{every}') where id = 21000").fetchall()
print(json.dumps([len(frame), int(frame["id"].max()), [list(each) for each in counted], one[0][0].hex()]))
"""
    found = bob.user.python(code, NAME)
    assert found == [ROWS, ROWS - 1, [[SHARDS * ROWS, SHARDS * ROWS - 1]], row(1, 1_000)]

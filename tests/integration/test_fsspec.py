"""`p2phub://` paths: a real node elsewhere has the files, this process's home holds nothing, and fsspec reads them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import p2phub
from p2phub import limits
from p2phub.filesystem import P2phubFileSystem
from tests.support.came import came_to
from tests.support.entry_points import entry_points_in
from tests.support.house import ROOT
from tests.support.processes import Node, Scene

MIB = limits.MIB
END_S = 120.0
BIG = Random(1).randbytes(24 * MIB)
ODD = "data/a b+c#d ü@e.txt"
ROWS = 400_000
MAIN = {"note.txt": b"main"}


def table(first: int) -> pa.Table:
    random = Random(first)
    return pa.table(
        {
            "id": pa.array(range(first, first + ROWS), pa.int64()),
            "noise": pa.array([random.random() for _ in range(ROWS)], pa.float64()),
            "text": pa.array([f"row {row}" for row in range(first, first + ROWS)]),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    (folder / "data").mkdir()
    (folder / "big.bin").write_bytes(BIG)
    (folder / "empty").touch()
    (folder / ODD).write_text("odd")
    (folder / "old.pkl").write_bytes(pickle.dumps({"a": os.getcwd}))
    for number in range(2):
        pq.write_table(
            table(number * ROWS), folder / f"data/{number}.parquet", row_group_size=ROWS // 4, compression="none"
        )
    return folder


class Ann(NamedTuple):
    """Who has it all: her node, the reference, its manifest, and another version of it by the tag v0."""

    node: Node
    reference: str
    manifest: str
    old: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("scene") / "scene") as scene:
        yield scene


@pytest.fixture(scope="module")
def ann(scene: Scene, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ann:
    old = tmp_path_factory.mktemp("old")
    (old / "note.txt").write_text("v0")
    first = scene.publish("ann", old, name="things", arguments=["--tag", "v0", "--kind", "dataset"])
    published = scene.publish("ann", folder, name="things", arguments=["--kind", "dataset"])
    return Ann(scene.node("ann"), published["reference"], published["manifest"], first["manifest"])


Open = Callable[..., P2phubFileSystem]


@pytest.fixture
def open_fs(ann: Ann, tmp_path: Path) -> Iterator[Open]:
    """Make a file system of a home that holds nothing."""
    made: list[P2phubFileSystem] = []

    def make(home: Path = tmp_path / "home", **options: Any) -> P2phubFileSystem:
        options = {"providers": [ann.node.address], **options}
        made.append(P2phubFileSystem(home=home, lan=False, skip_instance_cache=True, **options))
        return made[-1]

    yield make
    for each in made:
        each.shared.end()


@pytest.fixture
def fs(open_fs: Open) -> P2phubFileSystem:
    return open_fs()


def test_files_and_folders_are_listed_and_what_is_absent_is_told_so(
    fs: P2phubFileSystem, ann: Ann, folder: Path, tmp_path: Path
) -> None:
    root = ann.reference
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {path.removeprefix(f"{root}/") for path in fs.find(f"p2phub://{root}")} == here
    assert sorted(fs.ls(root, detail=False)) == [f"{root}/{name}" for name in sorted(os.listdir(folder))]
    [odd] = fs.ls(f"{root}/{ODD}")
    assert (odd["size"], odd["type"], odd["name"]) == (3, "file", f"{root}/{ODD}")
    assert fs.info(f"{root}/data") == {"name": f"{root}/data", "type": "directory", "size": 0}
    assert fs.glob(f"{root}/**/*.parquet") == [f"{root}/data/0.parquet", f"{root}/data/1.parquet"]
    assert fs.glob(f"p2phub://{root}/data/?.parquet") == [f"{root}/data/0.parquet", f"{root}/data/1.parquet"]
    assert [sorted(found) for _, _, found in fs.walk(root)] == [
        sorted(path.name for path in at.iterdir() if path.is_file()) for at in (folder, folder / "data")
    ]
    assert fs.isdir(root)
    assert not fs.isfile(root)
    assert fs.isfile(f"{root}/empty")
    for absent in (f"{root}/none", f"{root}/empty/x", f"{root}@v9/note.txt", "acme/things/x", "not even a name"):
        assert not fs.exists(absent)
        with pytest.raises(FileNotFoundError):
            fs.open(f"p2phub://{absent}")
    with pytest.raises(IsADirectoryError):
        fs.open(f"{root}/data")
    assert fs.checksum(f"{root}/empty") == fs.checksum(f"{root}/empty") != fs.checksum(f"{root}/{ODD}")
    age = datetime.now(UTC) - fs.modified(f"{root}/{ODD}")
    assert abs(age.total_seconds()) < 3600
    assert not came_to(tmp_path / "home")


@pytest.mark.parametrize("daemon", [True, False])
def test_random_reads_equal_the_source_and_only_what_holds_them_moves(
    scene: Scene, open_fs: Open, ann: Ann, tmp_path: Path, daemon: bool
) -> None:
    home = tmp_path / "home"
    if daemon:
        home = scene.home("bob")
        scene.node("bob")
    fs = open_fs(home)
    path = f"{ann.reference}/big.bin"
    random = Random(2)
    with fs.open(path) as file:
        file.seek(-8, 2)
        assert file.read() == BIG[-8:]
        file.seek(5 * MIB)
        assert file.read(8) == BIG[5 * MIB : 5 * MIB + 8]
        assert came_to(home) <= 3 * MIB  # With the beginning, which tells whether it may run code.
        for _ in range(30):
            start = random.randrange(len(BIG))
            length = random.choice((1, 8, 5000, 300_000))
            file.seek(start)
            assert file.read(length) == BIG[start : start + length]
    for low, high in ((None, 10), (-10, None), (-20, -10), (7, 7), (9, 5), (100, 10**9), (10**9, None), (3, 2 * MIB)):
        assert fs.cat_file(path, low, high) == BIG[low:high]
    starts = [random.randrange(len(BIG) - 1000) for _ in range(20)]
    found = fs.cat_ranges([path] * 20, starts, [start + 1000 for start in starts])
    assert found == [BIG[start : start + 1000] for start in starts]
    assert fs.cat_file(f"{ann.reference}/empty") == b""
    with fs.open(f"p2phub://{ann.reference}/{ODD}", "r") as text:
        assert text.read() == "odd"
    fs.get_file(path, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == BIG


def test_a_name_means_what_the_user_chose_and_never_somebody_elses(
    fs: P2phubFileSystem, ann: Ann, scene: Scene, tmp_path: Path
) -> None:
    key = ann.reference.partition("/")[0]
    old, note = "note.txt", f"{key}/things@v0/note.txt"
    assert fs.cat_file(note) == b"v0"
    for nobodys in (
        "ann/things@v0/note.txt",
        "things@v0/note.txt",
        "datasets/things@v0/note.txt",
        "acme/t@v0/note.txt",
    ):
        with pytest.raises(FileNotFoundError):
            fs.cat_file(nobodys)

    async def name(hub: p2phub.Hub) -> None:
        await hub.name_add("ann", key)
        await hub.name_add("acme/t", ann.reference)

    fs.shared._opened_hub().call(name)
    assert fs.cat_file("ann/things@v0/note.txt") == fs.cat_file("acme/t@v0/note.txt") == b"v0"
    assert fs.cat_file(f"datasets/acme/t@{ann.old}/note.txt") == fs.cat_file(f"{ann.old}/{old}") == b"v0"
    with pytest.raises(FileNotFoundError, match="is no model here, but a dataset"):
        fs.info(f"models/{note}")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "note.txt").write_text("mine")
    fs.shared._opened_hub().call(lambda hub: hub.publish(mine, name="things"))
    assert fs.cat_file("things@main/note.txt") == b"mine"
    assert {"acme", "things@main"} <= set(fs.ls("", detail=False))
    assert fs.ls("acme", detail=False) == ["acme/t"]
    assert fs.ls("p2phub://datasets/acme", detail=False) == ["datasets/acme/t"]
    for above in ("nobody", "models/acme"):
        with pytest.raises(FileNotFoundError):
            fs.ls(above)


def test_a_commit_as_the_gateway_tells_it_is_a_revision(fs: P2phubFileSystem, ann: Ann) -> None:
    name = f"{ann.reference}"
    fs.info(f"{name}@v0")
    commit = p2phub.api.commit_of(name, p2phub.api.parse_digest(ann.old)[0])
    assert fs.cat_file(f"{name}@{commit}/note.txt") == b"v0"
    with pytest.raises(FileNotFoundError, match="no commit"):
        fs.info(f"{name}@{'0' * 40}")


def test_what_may_run_code_is_read_only_where_it_is_allowed(open_fs: Open, ann: Ann, folder: Path) -> None:
    path = f"{ann.reference}/old.pkl"
    assert open_fs().info(path)["size"] == (folder / "old.pkl").stat().st_size
    with pytest.raises(PermissionError, match="may run code"):
        open_fs().cat_file(path)
    assert open_fs(allow_unsafe=True).cat_file(path) == (folder / "old.pkl").read_bytes()


def test_nothing_can_be_written(fs: P2phubFileSystem, ann: Ann) -> None:
    root = ann.reference
    for write in (
        lambda: fs.open(f"{root}/new", "wb"),
        lambda: fs.open(f"{root}/new", "a"),
        lambda: fs.pipe_file(f"{root}/new", b""),
        lambda: fs.rm(f"{root}/empty"),
        lambda: fs.mv(f"{root}/empty", f"{root}/new"),
        lambda: fs.copy(f"{root}/empty", f"{root}/new"),
        lambda: fs.mkdir(f"{root}/new"),
        lambda: fs.makedirs(f"{root}/new"),
        lambda: fs.rmdir(f"{root}/data"),
        lambda: fs.touch(f"{root}/new"),
    ):
        with pytest.raises(OSError, match="read only"):
            write()


def test_where_nobody_has_it_that_is_not_taken_for_absence(open_fs: Open, scene: Scene, folder: Path) -> None:
    stranger = scene.publish("eve", folder, name="things")
    fs = open_fs(providers=[], wait=0)
    path = f"{stranger['manifest']}/big.bin"
    for ask in (fs.exists, fs.isfile, fs.isdir, fs.cat_file, fs.find, lambda path: list(fs.walk(path)), fs.glob):
        with pytest.raises(ConnectionError):
            ask(path)


def test_pyarrow_reads_tables_and_moves_only_the_columns_that_are_asked_for(
    fs: P2phubFileSystem, ann: Ann, tmp_path: Path, folder: Path
) -> None:
    path = f"{ann.reference}/data/1.parquet"
    found = pq.read_table(path, filesystem=fs, columns=["id"])
    assert found.column("id").to_pylist() == list(range(ROWS, 2 * ROWS))
    size = (folder / "data/1.parquet").stat().st_size
    assert came_to(tmp_path / "home") < size * 0.6 < size
    both = pads.dataset(f"{ann.reference}/data", filesystem=fs, format="parquet", exclude_invalid_files=True)
    assert both.count_rows() == 2 * ROWS
    rows = both.to_table(filter=pads.field("id") == ROWS + 7)
    assert rows.to_pylist() == table(ROWS).slice(7, 1).to_pylist()


def test_files_and_file_systems_are_pickled_and_mean_the_same_version(open_fs: Open, ann: Ann, tmp_path: Path) -> None:
    fs = open_fs()
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat_file(f"{ann.reference}@v0/note.txt") == b"v0"
    with fs.open(f"{ann.reference}/big.bin") as file:
        file.seek(10 * MIB)
        copy = pickle.loads(pickle.dumps(file))
    assert copy.path == f"{ann.reference}@{ann.manifest}/big.bin"
    assert copy.read(100) == BIG[10 * MIB : 10 * MIB + 100]
    assert fs.shared is again.shared


def test_what_a_path_led_to_stays_until_it_is_looked_at_anew(fs: P2phubFileSystem, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for text in ("one", "two"):
        (mine / "note.txt").write_text(text)
        fs.shared._opened_hub().call(lambda hub: hub.publish(mine, name="mine"))
        if text == "one":
            assert fs.cat_file("mine@main/note.txt") == b"one"
    with pytest.raises(OSError):  # The file is another one by now, and nobody has the one that was published first.
        fs.cat_file("mine@main/note.txt")
    fs.invalidate_cache()
    assert fs.cat_file("mine@main/note.txt") == b"two"


def program(tmp_path: Path, ann: Ann, code: str) -> Any:
    """Run a program of a user who installed p2phub and whose home holds nothing; return what it printed as JSON.

    It knows `path`, `options` for fsspec, and MIB.
    """
    options = {"providers": [ann.node.address], "lan": False}
    begin = (
        f"import json, os, sys, fsspec\npath, options, MIB = {'p2phub://' + ann.reference!r}, {options!r}, 1 << 20\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("P2PHUB_")}
    ran = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(code)],
        env=kept
        | {"PYTHONPATH": f"{ROOT}:{entry_points_in(tmp_path / 'points')}", "P2PHUB_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def test_a_program_needs_no_import_of_p2phub(ann: Ann, tmp_path: Path) -> None:
    code = """
    with fsspec.open(path + "/big.bin", **options) as file:
        file.seek(7)
        print(json.dumps([file.read(5).hex(), "trio" in sys.modules]))
    """
    assert program(tmp_path, ann, code) == [BIG[7:12].hex(), True]


def test_a_forked_child_and_its_parent_both_read_on(ann: Ann, tmp_path: Path) -> None:
    """Also while another thread of the parent reads, and from files that were open before."""
    code = """
    import hashlib, threading
    fs, _ = fsspec.url_to_fs(path, **options)
    file = fs.open(path + "/big.bin")
    said = [file.read(10).hex()]
    sha256 = []
    reading = threading.Thread(target=lambda: sha256.append(hashlib.sha256(fs.cat_file(path + "/big.bin")).hexdigest()))
    reading.start()
    for number in range(2):
        receive, send = os.pipe()
        child = os.fork()
        if not child:
            try:
                file.seek((number + 1) * MIB)
                os.write(send, (file.read(10) + fs.cat_file(path + "@v0/note.txt")).hex().encode())
            finally:
                os._exit(0)
        os.close(send)
        with os.fdopen(receive) as told:
            said.append(told.read())
        os.waitpid(child, 0)
    reading.join()
    file.seek(9 * MIB)
    print(json.dumps([*said, file.read(10).hex(), *sha256]))
    """
    import hashlib

    found = program(tmp_path, ann, code)
    assert found[0] == BIG[:10].hex()
    assert found[1:3] == [(BIG[at * MIB : at * MIB + 10] + b"v0").hex() for at in (1, 2)]
    assert found[3:] == [BIG[9 * MIB : 9 * MIB + 10].hex(), hashlib.sha256(BIG).hexdigest()]


def test_processes_of_one_home_without_a_node_take_turns(ann: Ann, tmp_path: Path) -> None:
    code = """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    import hashlib
    def read(part):
        fs, _ = fsspec.url_to_fs(path, **options)
        return hashlib.sha256(fs.cat_file(path + "/big.bin", part * 6 * MIB, (part + 1) * 6 * MIB)).hexdigest()
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        print(json.dumps(list(pool.map(read, range(4)))))
    """
    import hashlib

    assert program(tmp_path, ann, code) == [
        hashlib.sha256(BIG[part * 6 * MIB : (part + 1) * 6 * MIB]).hexdigest() for part in range(4)
    ]


def test_who_opens_a_hub_beside_the_file_system_takes_turns_with_it(ann: Ann, tmp_path: Path) -> None:
    """What the file system read last is still being fetched for it then, and the folder is one."""
    code = """
    import p2phub.api.blocking as blocking
    fs, _ = fsspec.url_to_fs(path, **options)
    fs.cat_file(path + "/big.bin", 0, 10)
    reference = path.removeprefix("p2phub://")
    with blocking.open_hub(lan=False) as hub, hub.open_model(reference, providers=options["providers"]) as model:
        print(json.dumps(model.read("big.bin", 8 * MIB, 8 * MIB + 10).hex()))
    """
    assert program(tmp_path, ann, code) == BIG[8 * MIB : 8 * MIB + 10].hex()


def test_threads_read_side_by_side(fs: P2phubFileSystem, ann: Ann) -> None:
    wrong: list[int] = []

    def check(start: int) -> None:
        with fs.open(f"{ann.reference}/big.bin") as file:
            file.seek(start)
            if file.read(100_000) != BIG[start : start + 100_000]:
                wrong.append(start)

    threads = [threading.Thread(target=check, args=[start]) for start in range(0, 20 * MIB, 2 * MIB)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_node_that_goes_away_is_done_without(scene: Scene, open_fs: Open, ann: Ann) -> None:
    node = scene.node("cid")
    fs = open_fs(scene.home("cid"))
    with fs.open(f"{ann.reference}/big.bin") as file:
        assert file.read(10) == BIG[:10]
        node.stop()
        file.seek(12 * MIB)
        assert file.read(10) == BIG[12 * MIB : 12 * MIB + 10]


def test_fsspec_caches_files_by_their_content(fs: P2phubFileSystem, ann: Ann, tmp_path: Path) -> None:
    cached = fsspec.filesystem("simplecache", fs=fs, cache_storage=str(tmp_path / "cache"))
    for _ in range(2):
        with cached.open(f"{ann.reference}/{ODD}") as file:
            assert file.read() == b"odd"
    assert len(list((tmp_path / "cache").iterdir())) == 1

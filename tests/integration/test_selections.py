"""Who wants a part of a model moves that part: files by pattern, tensors by name, in whatever shard (0091)."""

from __future__ import annotations

import os
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import trio
from pyarrow import parquet as pq
from safetensors import safe_open
from safetensors.numpy import load_file

from p2phub import limits
from p2phub.discovery import Candidate
from p2phub.engine.choice import Choice
from p2phub.errors import Occupied, UsageError
from p2phub.identity import parse_peer_address
from p2phub.observe import Remark, Started, Unmatched
from tests.support.gate import gate
from tests.support.hosts import open_host
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Scene
from tests.support.stores import files_below
from tests.support.web_server import serve

END_S = 60.0
SHARDS = 2
MADE = "model.selected.safetensors"
SLACK_BYTES = 2 * limits.MIB  # A shard: what the issue allows for headers and the like.


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of 20 MiB each, a layer of which is some 8 MiB, and what stands beside them."""
    return make_safetensors_folder(tmp_path_factory.mktemp("model"), 40 * limits.MIB, files=SHARDS)


def tensors_of(model: Path, pattern: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in sorted(model.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            found |= {name: file.get_tensor(name) for name in file.keys() if fnmatchcase(name, pattern)}  # noqa: SIM118
    assert found, f"no tensor is called {pattern}"
    return found


def size_of(tensors: dict[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in tensors.values())


def assert_same(made: Path, expected: dict[str, np.ndarray]) -> None:
    found = load_file(made)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("pattern", ["*.layers.1.*", "*.layers.[0-9]*.input_layernorm.*", "*"])
async def test_tensors_land_in_one_file_and_little_else_is_moved(tmp_path: Path, model: Path, pattern: str) -> None:
    out = tmp_path / "out"
    wanted = tensors_of(model, pattern)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with trio.fail_after(END_S):
            done = await bob.fetch(published.manifest, out, ann, choice=Choice(tensors=(pattern,)))
        sent = sum(ann.shelf.bytes_sent.values())
    assert_same(out / MADE, wanted)
    assert list(files_below(out)) == [MADE]
    assert not (out / ".p2phub").exists()
    assert done.bytes_received <= sent <= size_of(wanted) + SHARDS * SLACK_BYTES
    [started] = [event for event in bob.events if isinstance(event, Started)]
    assert started.bytes_total == done.bytes_received


async def test_files_by_pattern_are_all_that_is_fetched_and_are_given_to_others(tmp_path: Path, model: Path) -> None:
    choice = Choice(include=("*.json", "model-00002*"), exclude=("tokenizer.json", "nothing"))
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cy") as cy,
    ):
        published = await ann.publish(model)
        with trio.fail_after(END_S):
            await bob.fetch(published.manifest, tmp_path / "out", ann, choice=choice)
            first = tree_digest(tmp_path / "out")
            await cy.fetch(published.manifest, tmp_path / "cy", bob, choice=Choice(include=("config.json",)))
            done = await bob.fetch(published.manifest, tmp_path / "out", ann)
        [holding] = bob.store.holdings()
    whole = tree_digest(model)
    kept = ["config.json", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert first == {path: whole[path] for path in kept}
    assert tree_digest(tmp_path / "cy") == {"config.json": whole["config.json"]}
    assert [event for event in bob.events if isinstance(event, Unmatched)] == [Unmatched("nothing")]
    assert tree_digest(tmp_path / "out") == whole
    assert done.bytes_reused == sum((model / path).stat().st_size for path in kept)
    assert holding.complete


async def test_what_a_selection_left_out_is_not_held(tmp_path: Path, model: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        choice = Choice(include=("config.json",), tensors=("*.layers.1.*",))
        with trio.fail_after(END_S):
            await bob.fetch(published.manifest, tmp_path / "out", ann, choice=choice)
        [holding] = bob.store.holdings()
        plan = bob.store.read_plan(published.manifest)
        assert plan is not None
        assert not holding.complete
        assert plan.table.bytes_of(plan.held) == (model / "config.json").stat().st_size
    assert sorted(files_below(tmp_path / "out")) == ["config.json", MADE]


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        (Choice(include=("nothing",)), "config.json"),
        (Choice(exclude=("*",)), "config.json"),
        (Choice(tensors=("nothing",)), "model.layers"),
        (Choice(exclude=("*.safetensors",), tensors=("*",)), "config.json"),
    ],
)
async def test_who_selects_nothing_is_told_what_there_is(
    tmp_path: Path, model: Path, choice: Choice, named: str
) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with pytest.raises(UsageError) as error, trio.fail_after(END_S):
            await bob.fetch(published.manifest, tmp_path / "out", ann, choice=choice)
    assert named in str(error.value.hint)
    assert not (tmp_path / "out").exists()


async def test_a_selection_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SYNC_S", 0.05)
    out = tmp_path / "out"
    choice = Choice(tensors=("*.layers.[0-9].*",))
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with gate(ann.candidates[0].provider, bytes_max=5 << 20) as held, trio.fail_after(END_S):
            through = Candidate(parse_peer_address(held.address), "direct")
            async with trio.open_nursery() as nursery:

                async def fetch() -> None:
                    await bob.fetch(published.manifest, out, also=[through], choice=choice)

                nursery.start_soon(fetch)
                await trio.to_thread.run_sync(held.shut.wait)
                nursery.cancel_scope.cancel()
            assert not (out / MADE).exists()
            (out / MADE).mkdir()
            with pytest.raises(Occupied):
                await bob.fetch(published.manifest, out, ann, choice=choice)
            (out / MADE).rmdir()
            done = await bob.fetch(published.manifest, out, ann, choice=choice)
            again = await bob.fetch(published.manifest, out, ann, choice=choice)
    assert done.bytes_reused > 0
    assert_same(out / MADE, tensors_of(model, "*.layers.[0-9].*"))
    assert list(files_below(out)) == [MADE]
    assert again.bytes_received > 0


async def test_another_selection_does_not_replace_the_first_unless_it_is_told_to(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "out"
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        with trio.fail_after(END_S):
            await bob.fetch(published.manifest, out, ann, choice=Choice(tensors=("*.layers.1.*",)))
            before = (out / MADE).read_bytes()
            other = Choice(tensors=("*.layers.0.*",))
            with pytest.raises(Occupied, match=MADE):
                await bob.fetch(published.manifest, out, ann, choice=other)
            assert (out / MADE).read_bytes() == before
            await bob.fetch(published.manifest, out, ann, choice=other, force=True)
    assert_same(out / MADE, tensors_of(model, "*.layers.0.*"))


def test_a_web_server_alone_is_enough_for_who_selects_tensors(scene: Scene, model: Path) -> None:
    files = scene.folder / "web"
    shutil.copytree(model, files)
    published = scene.publish("ann", files, name="m", arguments=["--mirror-files", str(files)])
    with serve(files) as mirror:
        words = ("--mirror", mirror.url, "--tensor", "*.layers.1.*")
        fetch = scene.start_fetch("bob", published["reference"], scene.folder / "m", arguments=words)
        done = fetch.wait_for("done", timeout_s=END_S)
    wanted = tensors_of(model, "*.layers.1.*")
    assert_same(scene.folder / "m" / MADE, wanted)
    assert done["bytes_received"] <= size_of(wanted) + SHARDS * SLACK_BYTES
    scene.start("ann", "unpublish", "m").finish(timeout_s=END_S)
    assert not (files / ".p2phub").exists()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of 8 row groups with three columns, 1 MiB each of which nothing can be packed."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.Generator(np.random.PCG64(1))
    rows = limits.MIB // 8 * 8
    table = pa.table({name: rng.integers(0, 2**62, rows) for name in ("id", "x", "y")})
    pq.write_table(table, folder / "t.parquet", row_group_size=rows // 8, compression="none", use_dictionary=False)
    (folder / "README.md").write_text("tables")
    return folder


async def test_columns_and_row_groups_land_in_a_table_and_little_else_is_moved(tmp_path: Path, tables: Path) -> None:
    out = tmp_path / "out"
    choice = Choice(columns=("x", "id"), row_groups=("1-2", "7"))
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(tables)
        with trio.fail_after(END_S):
            done = await bob.fetch(published.manifest, out, ann, choice=choice)
    found, whole = pq.ParquetFile(out / "t.selected.parquet"), pq.ParquetFile(tables / "t.parquet")
    assert found.read().equals(whole.read_row_groups([1, 2, 7], columns=["id", "x"]))
    assert list(files_below(out)) == ["t.selected.parquet"]
    assert done.bytes_received <= 6 * limits.MIB + SLACK_BYTES


@pytest.mark.parametrize("daemon", [True, False])
def test_the_command_line_selects_whoever_fetches_and_survives_kill_9(scene: Scene, model: Path, daemon: bool) -> None:
    """Between processes, counting what the provider sent: the figure of the issue."""
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann", "--up", "2MiB")
    runs = scene.node("bob") if daemon else None
    words = (
        "fetch", reference, "--provider", ann.address, "--into", scene.folder / "m", "--no-lan",
        "--tensor", "*.layers.1.*", "--include", "config.json", "--tensor", "nothing",
    )  # fmt: skip
    fetch = scene.start("bob", *words)
    fetch.wait_for("progress", timeout_s=END_S)
    (fetch if runs is None else runs).kill()
    fetch.finish(timeout_s=END_S)
    if daemon:
        scene.node("bob")
    again = scene.start("bob", *words)
    done = again.wait_for("done", timeout_s=END_S)
    wanted = tensors_of(model, "*.layers.1.*")
    assert_same(scene.folder / "m" / MADE, wanted)
    assert (scene.folder / "m/config.json").read_bytes() == (model / "config.json").read_bytes()
    assert {"event": "unmatched", "pattern": "nothing"} in again.events
    assert 0 < done["bytes_received"] + done["bytes_reused"] <= size_of(wanted) + SHARDS * SLACK_BYTES
    status = scene.start("ann", "status").wait_for("status", timeout_s=END_S)
    assert sum(status["served"].values()) <= size_of(wanted) + SHARDS * SLACK_BYTES
    [held] = scene.start("bob", "ls").wait_for("ls", timeout_s=END_S)["items"]
    assert (held["folder"], held["complete"]) == (os.fspath(scene.folder / "m"), False)
    [used] = scene.start("bob", "du").wait_for("du", timeout_s=END_S)["items"]
    made = (scene.folder / "m" / MADE).stat().st_size
    assert (used["bytes_selected"], used["bytes"]) == (made, made + (model / "config.json").stat().st_size)


@pytest.mark.parametrize("damaged", [False, True])
async def test_shards_whose_names_say_nothing_are_told_by_the_index(tmp_path: Path, model: Path, damaged: bool) -> None:
    renamed = tmp_path / "model"
    shutil.copytree(model, renamed)
    index = renamed / "model.safetensors.index.json"
    text = index.read_text()
    for number, name in enumerate(sorted(path.name for path in renamed.glob("*.safetensors"))):
        (renamed / name).rename(renamed / f"part-{number}.safetensors")
        text = text.replace(name, f"part-{number}.safetensors")
    index.write_text(text[:-9] if damaged else text)
    choice = Choice(tensors=("*.layers.*.input_layernorm.weight",))
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(renamed)
        with trio.fail_after(END_S):
            await bob.fetch(published.manifest, tmp_path / "out", ann, choice=choice)
    remarks = [event.path for event in bob.events if isinstance(event, Remark)]
    if damaged:
        assert sorted(files_below(tmp_path / "out")) == ["part-0.selected.safetensors", "part-1.selected.safetensors"]
        assert remarks == ["model.safetensors.index.json"]
    else:
        assert list(files_below(tmp_path / "out")) == [MADE]
        assert_same(tmp_path / "out" / MADE, tensors_of(renamed, choice.tensors[0]))
        assert not remarks

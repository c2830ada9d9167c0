"""Ranges of files are read while they are fetched: only what was asked for moves, and never a wrong byte (0100)."""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from random import Random

import pytest
import trio

from p2phub import api, limits
from p2phub.api.reading import AHEAD_BYTES, PIECE_BYTES_MAX, OpenModel
from p2phub.identity import parse_peer_address
from p2phub.store import Keep
from p2phub.store.filesystem import FilesystemStore
from tests.support.came import came_to
from tests.support.covers import covers
from tests.support.gate import Gate
from tests.support.processes import Scene
from tests.support.slow_path import slow_path

MIB = limits.MIB
END_S = 60.0
BIG = 48 * MIB  # More than is asked for ahead.
SMALL = b'{"architectures": []}'


@pytest.fixture(scope="module")
def data() -> bytes:
    return Random(1).randbytes(BIG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> Path:
    folder = tmp_path_factory.mktemp("published")
    (folder / "big.bin").write_bytes(data)
    (folder / "config.json").write_bytes(SMALL)
    (folder / "empty").write_bytes(b"")
    (folder / "old.pkl").write_bytes(pickle.dumps({"a": os.getcwd}))
    return folder


async def read(model: OpenModel, path: str, start: int = 0, stop: int | None = None) -> bytes:
    pieces = [bytes(piece) async for piece in model.read(path, start, stop)]
    assert all(0 < len(piece) <= PIECE_BYTES_MAX for piece in pieces)
    return b"".join(pieces)


async def shut(gate: Gate) -> None:
    await trio.to_thread.run_sync(gate.shut.wait, abandon_on_cancel=True)


@pytest.mark.parametrize("daemon", [True, False])
async def test_of_a_range_come_the_chunks_that_hold_it_and_once(
    scene: Scene, folder: Path, data: bytes, daemon: bool
) -> None:
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    if daemon:
        scene.node("bob")
    start, stop = 40 * MIB + 5, 43 * MIB - 7
    gate = Gate(parse_peer_address(ann.address), bytes_max=3 * MIB + MIB // 2)  # No chunk more, to be thrown away.
    with closing(gate), trio.fail_after(END_S):
        async with api.open_hub(home=scene.home("bob"), lan=False) as hub:
            async with hub.open_model(reference, providers=[gate.address]) as model:
                assert list(model.files) == ["big.bin", "config.json", "empty", "old.pkl"]
                assert model.release is not None
                assert model.files["big.bin"].size == BIG
                assert await read(model, "big.bin", start, stop) == data[start:stop]
                assert await model.descriptor("big.bin") is None
            assert came_to(scene.home("bob")) == 3 * MIB
            assert not gate.shut.is_set()
            gate.close()
            ann.kill()  # What came is there for the next who reads, though nobody is left to ask.
            async with hub.open_model(reference, wait=0) as model:
                assert await read(model, "big.bin", start + MIB, stop) == data[start + MIB : stop]
                with pytest.raises(api.NoProvider):
                    await read(model, "big.bin", start, stop + MIB)
    assert came_to(scene.home("bob")) == 3 * MIB


async def test_whether_a_far_file_runs_code_is_known_after_five_round_trips(
    scene: Scene, folder: Path, data: bytes
) -> None:
    """Three for the connection and what describes the model, one for the first chunk, one for all else that is looked
    at, and where the reader will begin."""
    manifest = scene.publish("ann", folder, name="m")["manifest"]
    provider = parse_peer_address(scene.node("ann").address)
    with trio.fail_after(END_S):
        async with (
            api.open_hub(home=scene.home("bob"), lan=False) as hub,
            slow_path(provider.address, delay_s=0.3) as path,
        ):
            far = f"/ip4/{path.address.ip}/tcp/{path.address.port}/p2p/{provider.peer}"
            async with hub.open_model(manifest, providers=[far]) as model:
                assert await model.danger("big.bin", start=20 * MIB) is None
                assert await read(model, "big.bin", 20 * MIB, 20 * MIB + 9) == data[20 * MIB : 20 * MIB + 9]
                assert path.round_trips == 5
    assert came_to(scene.home("bob")) == 3 * MIB


async def test_readers_share_what_comes_and_a_slow_one_holds_up_nobody(scene: Scene, folder: Path, data: bytes) -> None:
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    ranges = [(at * MIB + at, (at + 6) * MIB) for at in range(10, 40, 2)]
    found: list[tuple[int, int]] = []
    with trio.fail_after(END_S):
        async with (
            api.open_hub(home=scene.home("bob"), lan=False) as hub,
            hub.open_model(reference, providers=[ann.address]) as model,
            hub.open_model(reference) as other,
            aclosing(model.read("big.bin")) as slow,
        ):
            first = bytes(await anext(slow))  # And then it takes its time.

            async def check(model: OpenModel, start: int, stop: int) -> None:
                assert await read(model, "big.bin", start, stop) == data[start:stop]
                found.append((start, stop))

            async with trio.open_nursery() as nursery:
                for number, (start, stop) in enumerate(ranges):
                    nursery.start_soon(check, model if number % 2 else other, start, stop)
            assert first + b"".join([bytes(piece) async for piece in slow]) == data
    assert sorted(found) == ranges
    assert came_to(scene.home("bob")) == BIG


async def test_who_goes_away_pulls_nothing_more(scene: Scene, folder: Path, data: bytes) -> None:
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    gate = Gate(parse_peer_address(ann.address), bytes_max=3 * MIB)
    try:
        with trio.fail_after(END_S):
            async with (
                api.open_hub(home=scene.home("bob"), lan=False) as hub,
                hub.open_model(reference, providers=[gate.address]) as model,
            ):
                async with aclosing(model.read("big.bin")) as pieces:
                    assert bytes(await anext(pieces)) == data[:MIB]
                    await shut(gate)  # More is on its way.
                gate.open()
                assert await read(model, "big.bin", BIG - MIB) == data[BIG - MIB :]
                assert await read(model, "big.bin", BIG - 2 * MIB, BIG - MIB) == data[BIG - 2 * MIB : BIG - MIB]
    finally:
        gate.close()
    assert came_to(scene.home("bob")) <= AHEAD_BYTES + 2 * MIB


async def test_many_readers_at_once_stay_within_the_quota(scene: Scene, folder: Path, data: bytes) -> None:
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    home = scene.home("bob")
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(f'quota = "{9 * MIB}"\n')
    gate = Gate(parse_peer_address(ann.address), bytes_max=MIB)  # So that nothing is had before all have asked.
    full: list[int] = []
    with closing(gate), trio.fail_after(END_S):
        async with (
            api.open_hub(home=home, lan=False) as hub,
            hub.open_model(reference, providers=[gate.address]) as model,
            trio.open_nursery() as nursery,
        ):

            async def check(start: int) -> None:
                try:
                    assert await read(model, "big.bin", start, start + 4 * MIB) == data[start : start + 4 * MIB]
                except api.DiskFull:
                    full.append(start)
                    if len(full) == 6:
                        gate.open()

            for start in range(0, 8 * 5 * MIB, 5 * MIB):
                nursery.start_soon(check, start)
    assert len(full) == 6
    assert came_to(home) <= 9 * MIB


async def test_where_the_provider_dies_what_came_is_right_and_then_it_is_said(
    scene: Scene, folder: Path, data: bytes
) -> None:
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    gate = Gate(parse_peer_address(ann.address), bytes_max=8 * MIB)
    got = b""

    async def read_on(pieces: AsyncIterator[bytes | memoryview]) -> None:
        nonlocal got
        async for piece in pieces:
            got += bytes(piece)

    try:
        with trio.fail_after(END_S):
            async with (
                api.open_hub(home=scene.home("bob"), lan=False) as hub,
                hub.open_model(reference, providers=[gate.address], wait=0) as model,
                aclosing(model.read("big.bin", MIB)) as pieces,
            ):
                got += bytes(await anext(pieces))
                await shut(gate)
                gate.close()
                ann.kill()
                with pytest.raises(api.NoProvider):
                    await read_on(pieces)
                assert got == data[MIB : MIB + len(got)]
                assert await read(model, "big.bin", MIB, MIB + len(got)) == got
    finally:
        gate.close()


@pytest.mark.parametrize("daemon", [True, False])
async def test_a_file_that_changes_while_it_is_read_is_fetched_and_not_a_wrong_byte_given(
    scene: Scene, tmp_path: Path, daemon: bool
) -> None:
    content = Random(2).randbytes(12 * MIB)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "w.bin").write_bytes(content)
    reference = scene.publish("ann", mine, name="m")["reference"]
    with trio.fail_after(END_S):
        async with (
            api.open_hub(home=scene.home("ann"), lan=False) as hub,
            api.open_hub(home=scene.home("bob"), lan=False) as bobs,
        ):
            async with hub.open_model(reference, wait=0) as model:
                standing = await model.descriptor("w.bin")
                assert standing is not None
                with standing:
                    assert standing.unchanged()
                    assert os.pread(standing.descriptor, 9, 5) == content[5:14]
            ann = scene.node("ann")
            await bobs.fetch(reference, into=tmp_path / "bobs", providers=[ann.address])
            ann.stop()
        bob = scene.node("bob")
        if daemon:
            scene.node("ann")
        async with (
            api.open_hub(home=scene.home("ann"), lan=False) as hub,
            hub.open_model(reference, providers=[bob.address]) as model,
            aclosing(model.read("w.bin")) as pieces,
        ):
            got = bytes(await anext(pieces))
            assert not came_to(scene.home("ann"))
            standing = await model.descriptor("w.bin")
            assert standing is not None
            with standing, (mine / "w.bin").open("r+b") as file:
                file.write(bytes(8 * MIB))
                file.flush()
                assert not standing.unchanged()
            got += b"".join([bytes(piece) async for piece in pieces])
            assert got == content
            assert await model.descriptor("w.bin") is None
        assert came_to(scene.home("ann")) == 11 * MIB


@pytest.mark.parametrize("daemon", [True, False])
async def test_files_that_came_whole_are_held_until_they_are_collected(
    scene: Scene, folder: Path, data: bytes, daemon: bool
) -> None:
    """But not those that may run code when they are loaded: these can be read, and are not put at their place."""
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    if daemon:
        scene.node("bob")
    with trio.fail_after(END_S):
        async with api.open_hub(home=scene.home("bob"), lan=False) as hub:
            async with hub.open_model(reference, providers=[ann.address]) as model:
                assert await read(model, "empty") == b""
                assert await read(model, "config.json", 2, 10**9) == SMALL[2:]
                assert await read(model, "big.bin") == data
                assert await read(model, "old.pkl") == (folder / "old.pkl").read_bytes()
                assert "pickle" in (await model.danger("old.pkl") or "")
                assert await model.danger("config.json") is None
                with pytest.raises(api.NotFound):
                    await read(model, "other")
                with pytest.raises(api.UsageError):
                    await read(model, "big.bin", 5, 4)
                assert await read(model, "big.bin", 2 * BIG) == b""
            ann.kill()
            [held] = await hub.ls()
            assert (held["origin"], held["complete"]) == ("own", False)
            own = Path(held["folder"])
            assert sorted(path.name for path in own.iterdir() if path.is_file()) == ["big.bin", "config.json", "empty"]
            async with hub.open_model(reference, wait=0) as model:
                assert (await hub.gc())["items"] == []  # Somebody reads it.
                assert await read(model, "big.bin", MIB, 2 * MIB) == data[MIB : 2 * MIB]
                standing = await model.descriptor("big.bin")
                assert standing is not None
                with standing:
                    assert standing.size == BIG
            assert [each["folder"] for each in (await hub.gc())["items"]] == [str(own)]
            assert not came_to(scene.home("bob"))


async def test_where_nobody_wants_anything_what_came_whole_goes_to_its_place_while_the_model_is_open(
    scene: Scene, folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is wanted after that is fetched all the same."""
    monkeypatch.setattr(limits, "READERS_IDLE_ALONE_S", 0.0)
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann = scene.node("ann")
    with trio.fail_after(END_S):
        async with (
            api.open_hub(home=scene.home("bob"), lan=False) as hub,
            hub.open_model(reference, providers=[ann.address]) as model,
        ):
            assert await read(model, "big.bin") == data
            while (standing := await model.descriptor("big.bin")) is None:
                await trio.lowlevel.checkpoint()
            with standing:
                assert os.pread(standing.descriptor, 99, 7) == data[7:106]
            assert await read(model, "config.json") == SMALL
            assert await read(model, "old.pkl") == (folder / "old.pkl").read_bytes()


@covers("F07", "F33")
async def test_what_another_process_collects_while_somebody_reads_is_fetched_anew(
    scene: Scene, folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not read where it stood: that file is gone, and what was missing of it is a hole."""
    monkeypatch.setattr(limits, "READERS_IDLE_ALONE_S", 0.0)
    reference = scene.publish("ann", folder, name="m")["reference"]
    ann, home = scene.node("ann"), scene.home("bob")
    with trio.fail_after(END_S):
        async with (
            api.open_hub(home=home, lan=False) as hub,
            hub.open_model(reference, providers=[ann.address]) as model,
            aclosing(model.read("big.bin")) as pieces,
        ):
            assert await read(model, "big.bin", BIG - MIB) == data[-MIB:]
            got = bytearray(await anext(pieces))
            with closing(FilesystemStore(home)) as other:
                while came_to(home):
                    await trio.to_thread.run_sync(other.sweep, Keep(), lambda: False)
            async for piece in pieces:
                got += piece
            assert got == data

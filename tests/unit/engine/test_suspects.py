"""Files that are looked into before the rest is fetched: which, what of them is wanted first, what is told (0092)."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine.suspects import LookFailed, Suspects
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError, Unsafe
from p2phub.store import Arrival, Selected
from p2phub.store.memory import MemoryStore
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.stores import deliver

STEP = 64 * limits.KIB
PICKLE = pickle.dumps({"a": 1})
FOLDER = Path("/out")
END_S = 10.0


def arrival_of(content: Content, store: MemoryStore | None = None) -> Arrival:
    store = store or MemoryStore()
    store.put_blobs(list(content.blobs.values()))
    return store.arrive(content.manifest, content.root, content.table, FOLDER, force=False)


def suspects_of(content: Content, arrival: Arrival, selected: Selected | None = None) -> Suspects:
    made = Suspects(Workers(1))
    made.begin(content.manifest, content.table, arrival, selected)
    return made


def files_of(content: Content, suspects: Suspects) -> list[str]:
    """Return the paths of the files that something is wanted of."""
    return [content.path_of(file) for file, _ in content.table.by_file(RangeSet(tuple(suspects.runs())))]


async def told(suspects: Suspects, arrival: Arrival, content: Content, *parts: Iterable[int]) -> LookFailed | None:
    """Deliver one part after the other while the suspects are looked into, and return what is told at last: nothing
    before all parts are here."""
    send, receive = trio.open_memory_channel[LookFailed](1)
    with trio.fail_after(END_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(suspects.run, arrival, send)
            for part in parts:
                await trio.testing.wait_all_tasks_blocked()
                assert not receive.statistics().current_buffer_used
                chunks = list(part)
                deliver(arrival, content, chunks)
                suspects.came(RangeSet.from_indices(chunks))
    return receive.receive_nowait() if receive.statistics().current_buffer_used else None


def test_beginning_and_end_of_a_suspect_are_wanted_and_nothing_where_there_is_none() -> None:
    content = content_of({"a.safetensors": bytes(STEP), "b.PT": bytes(40 * STEP), "c.txt": b"c"}, STEP)
    made = suspects_of(content, arrival_of(content))
    assert made.runs() == ((1, 2), (37, 41))
    none = content_of({"a.safetensors": bytes(STEP), "empty.pkl": b""}, STEP)
    assert not suspects_of(none, arrival_of(none)).runs()


def test_of_many_suspects_a_few_of_each_kind_are_looked_into() -> None:
    many = {f"{number:03}.npy": b"x" for number in range(100)}
    content = content_of({**many, "x.pkl": b"x", "z.bin": b"x"}, STEP)
    wanted = files_of(content, suspects_of(content, arrival_of(content)))
    assert len(wanted) == limits.EARLY_LOOKS_MAX
    assert {"000.npy", "x.pkl", "z.bin"} <= set(wanted)


def test_what_stands_in_its_place_already_is_not_looked_into() -> None:
    store = MemoryStore()
    store.put_file(FOLDER, "a.pkl", PICKLE)
    content = content_of({"a.pkl": PICKLE, "b.pkl": b"b"}, STEP)
    assert files_of(content, suspects_of(content, arrival_of(content, store))) == ["b.pkl"]


def test_of_a_selection_only_what_is_wanted_whole_is_looked_into() -> None:
    """Nothing is asked for that was not selected, and what is not put in place is nobody's danger."""
    content = content_of({"a.pkl": PICKLE, "b.pkl": bytes(9 * STEP), "c.pkl": PICKLE, "d": b"d"}, STEP)
    inside, _ = content.table.span(1)
    whole = [content.table.span(file) for file in (2, 3)]
    selected = Selected(RangeSet.of([(inside, inside + 1), *whole]), RangeSet.from_indices([2, 3]))
    made = suspects_of(content, arrival_of(content), selected)
    assert files_of(content, made) == ["c.pkl"]
    assert not RangeSet.of(made.runs()) - selected.chunks


@covers("T31")
async def test_a_pickle_is_told_of_as_soon_as_its_beginning_and_end_are_here() -> None:
    content = content_of({"a.pt": PICKLE + bytes(40 * STEP), "b.bin": b"b"}, STEP)
    arrival = arrival_of(content)
    made = suspects_of(content, arrival)
    early = [chunk for start, stop in made.runs() for chunk in range(start, stop)]
    assert len(early) < len(content.table) / 4
    found = await told(made, arrival, content, early[:1], early[1:])
    assert found is not None
    assert isinstance(found.error, Unsafe)
    assert "a.pt (a pickle" in found.error.message


@covers("T31")
async def test_what_an_earlier_attempt_left_is_looked_into_at_once() -> None:
    store = MemoryStore()
    content = content_of({"a.pt": PICKLE + bytes(40 * STEP)}, STEP)
    first = arrival_of(content, store)
    deliver(first, content, content.whole)
    first.close()
    again = arrival_of(content, store)
    assert await told(suspects_of(content, again), again, content) is not None


async def test_what_is_harmless_or_cannot_be_told_yet_is_let_be() -> None:
    """The directory of this archive begins before what is wanted of it, and is not read before it is verified, though
    it is written."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data.pkl", PICKLE)
        for number in range(3_000):
            archive.writestr(f"{number:0100}", b"")
    content = content_of({"a.npz": out.getvalue(), "b.bin": bytes(40 * STEP)}, STEP)
    arrival = arrival_of(content)
    made = suspects_of(content, arrival)
    early = [chunk for start, stop in made.runs() for chunk in range(start, stop)]
    for chunk in content.whole:
        arrival.write(chunk, content.chunk(chunk))
    assert await told(made, arrival, content, early) is None
    assert not made.runs()


async def test_a_disk_that_cannot_be_read_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    content = content_of({"a.pt": b"harmless"}, STEP)
    arrival = arrival_of(content)

    def fails(descriptor: int, offset: int, length: int, path: str) -> bytes:
        raise DiskError("no")

    monkeypatch.setattr("p2phub.engine.suspects.read_exactly", fails)
    found = await told(suspects_of(content, arrival), arrival, content, [0])
    assert found is not None
    assert isinstance(found.error, DiskError)

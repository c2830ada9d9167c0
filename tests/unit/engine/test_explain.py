"""Why a fetch is as fast as it is: each thing that can bound it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.discovery import Candidate, Surroundings
from p2phub.engine.effort import RECENT_S, Effort
from p2phub.engine.explain import _bound, _bound_by_effort, _source, _state
from p2phub.engine.fetch import Means, Running, Wish, fetch
from p2phub.engine.job import Job
from p2phub.engine.meter import Meter
from p2phub.engine.providers import Provider
from p2phub.engine.search import Search
from p2phub.engine.sparing import Sparing
from p2phub.errors import ChunkMismatch, PeerGone
from p2phub.identity import Address, parse_mirror, parse_peer_address
from p2phub.net import Spent, WindowNow
from p2phub.net.mirror import MirrorPlane
from p2phub.observe import Explanation, SourceNow
from p2phub.transfer import Backlog, Session
from tests.support.gate import gate
from tests.support.hosts import FixedFinder, TestHost, key_of, open_host
from tests.support.models import make_safetensors_folder
from tests.support.swarm import megabytes
from tests.support.web_server import Bend, serve

HERE = Address("192.0.2.1", 4717)


@pytest.mark.parametrize(
    ("spent", "bound"),
    [
        (Spent(), "network"),
        (Spent(write_s=0.05), "network"),  # Eight bytes at the beginning say nothing of the disk.
        (Spent(8.0, 1.0, 1.0), "network"),
        (Spent(1.0, 8.0, 1.0), "hash"),
        (Spent(1.0, 1.0, 8.0), "disk"),
        (Spent(4.0, 3.0, 3.0), "network"),
    ],
)
def test_what_takes_the_threads_time_is_what_bounds(spent: Spent, bound: str) -> None:
    assert _bound_by_effort(spent)[0] == bound


def test_where_nobody_is_connected_who_had_something_is_named() -> None:
    """It holds what is missing, as far as is known: it does not answer."""
    ann = Provider(key_of("ann").peer_id, "direct", had_some=True)
    job = SimpleNamespace(session=SimpleNamespace(complete=False, unavailable=RangeSet.whole(3)), providers=[ann])
    bound, because = _bound(cast(Job, job), (), now=0.0)
    assert bound == "providers"
    assert str(ann.peer) in because


def test_a_fetch_whose_readers_have_what_they_wanted_waits_for_them_and_for_no_disk() -> None:
    bounds = {
        readers: _bound(
            cast(Job, SimpleNamespace(session=SimpleNamespace(complete=True), readers=readers)), (), now=0.0
        )
        for readers in (None, "somebody")
    }
    assert {readers: bound for readers, (bound, _) in bounds.items()} == {None: "disk", "somebody": "readers"}


def test_a_fetch_that_is_far_ahead_of_its_disk_waits_for_that_and_no_source_is_to_blame() -> None:
    """Whatever the threads' time says: they wrote to memory."""
    backlog = Backlog()
    backlog.came(limits.SYNC_BYTES)
    session = Session(megabytes(9), RangeSet(), backlog=backlog, now=0.0)
    ann = Provider(key_of("ann").peer_id, "direct", links={7})
    session.joined(7, ann.peer, RangeSet.whole(9), now=0.0)
    links = session.links_now(now=0.0)
    job = SimpleNamespace(session=session, providers=[], effort=Effort(), links={7: SimpleNamespace(bare=False)})
    assert _bound(cast(Job, job), links, now=0.0)[0] == "disk"
    assert _state(cast(Job, job), ann, list(links), links, now=0.0) == "idle: this disk is behind"


def test_of_one_that_is_kept_back_for_those_at_its_address_that_is_said() -> None:
    ann = Provider(key_of("ann").peer_id, "direct")
    job = SimpleNamespace(means=SimpleNamespace(near=Surroundings()), meter=Meter(now=0.0), session=None, links={})
    job.sparing = Sparing(began=0.0)
    assert _source(cast(Job, job), ann, (), [], now=0.0).state == "not dialled; no address is known"
    assert "others at its address lied" in _source(cast(Job, job), ann, (), [ann.peer], now=0.0).state
    ann.failed(ChunkMismatch("wrong byte", file="f", chunk=0, peer=str(ann.peer)), 0.0)
    assert _source(cast(Job, job), ann, (), [ann.peer], now=0.0).state.startswith("banned")


def test_one_that_is_gone_is_dialled_again_in_a_second_and_never_in_none() -> None:
    ann = Provider(key_of("ann").peer_id, "direct", addresses=[Address("192.0.2.1", 4717)])
    ann.tried.update(ann.addresses)
    ann.failed(PeerGone("no connection"), 0.0)
    job = SimpleNamespace(means=SimpleNamespace(near=Surroundings()), meter=Meter(now=0.0), session=None, links={})
    job.sparing = Sparing(began=0.0)
    said = {now: _source(cast(Job, job), ann, (), [], now=now).state for now in (0.0, 0.7, 0.99)}
    assert set(said.values()) == {"not reached: no connection; dialled again in 1 s"}
    ann.linked_at = 0.0
    assert _source(cast(Job, job), ann, (), [], now=0.5).state == "lost: no connection; dialled again in 1 s"


def test_only_the_last_seconds_count() -> None:
    effort = Effort()
    effort.note(Spent(write_s=100.0), now=0.0)
    effort.note(Spent(receive_s=1.0), now=RECENT_S)
    assert effort.recent(now=RECENT_S) == Spent(1.0, 0.0, 100.0)
    assert effort.recent(now=RECENT_S + 1) == Spent(1.0, 0.0, 0.0)


def test_the_windows_of_all_links_to_a_source_are_added_up_and_the_shortest_round_trip_is_told() -> None:
    def told(*windows: WindowNow) -> SourceNow:
        ann = Provider(key_of("ann").peer_id, "direct", links=set(range(len(windows))))
        job = SimpleNamespace(means=SimpleNamespace(near=Surroundings()), meter=Meter(now=0.0), session=None)
        links = {n: SimpleNamespace(window=window, address=HERE) for n, window in enumerate(windows)}
        job.links = {n: SimpleNamespace(link=link, bare=False) for n, link in links.items()}
        job.sparing = Sparing(began=0.0)
        return _source(cast(Job, job), ann, (), [], now=0.0)

    two = told(WindowNow(1_000_000, 0.02), WindowNow(500_000, 0.01))
    assert (two.window_bytes, two.trip_s) == (1_500_000, 0.01)
    one_is_new = told(WindowNow(1_000_000, 0.02), WindowNow(500_000, None))
    assert (one_is_new.window_bytes, one_is_new.trip_s) == (1_500_000, 0.02)
    assert (told().window_bytes, told().trip_s) == (0, None)


async def explained(
    bob: TestHost, ann: TestHost, into: Path, ready: Callable[[Explanation], bool], *, bytes_max: int
) -> Explanation:
    """Fetch through a gate that holds after `bytes_max`; return the first explanation that is `ready`."""
    fetches: list[Running] = []
    published = await ann.publish(make_safetensors_folder(into.parent / "model", 24 << 20, files=2, seed=3))
    found: Explanation | None = None
    with gate(ann.candidates[0].provider, bytes_max=bytes_max) as held, trio.fail_after(60):
        through = Candidate(parse_peer_address(held.address), "direct")
        async with trio.open_nursery() as nursery:

            async def fetch() -> None:
                await bob.fetch(published.manifest, into, also=[through], started=fetches.append)

            nursery.start_soon(fetch)
            while found is None or not ready(found):
                await trio.sleep(0.01)  # Without a pause it would keep the threads from their work.
                found = fetches[0].explain() if fetches else None
            held.open()
    return found


async def test_a_provider_that_sends_no_more_is_named_with_what_it_owes(tmp_path: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        found = await explained(
            bob,
            ann,
            tmp_path / "out",
            lambda now: bool(now.sources) and now.sources[0].bytes_leased > 0,
            bytes_max=4 << 20,
        )
    [source] = found.sources
    assert found.bound == "network"
    assert (source.peer_id, source.via, source.nearness) == (str(ann.key.peer_id), "direct", "machine")
    assert source.silent_s is not None
    assert found.bytes_missing
    assert source.state == "sending"
    assert source.window_bytes > 0


async def test_a_manifest_that_is_still_asked_for_is_what_bounds(tmp_path: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        found = await explained(bob, ann, tmp_path / "out", lambda now: now.bound == "metadata", bytes_max=3000)
    assert found.bytes_missing is None
    assert str(ann.key.peer_id) in found.because
    assert found.sources[0].state == "connected; its first answer is due"


async def test_a_chunk_that_nobody_holds_is_named(tmp_path: Path) -> None:
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        model = make_safetensors_folder(tmp_path / "model", 24 << 20, files=2, seed=3)
        published = await ann.publish(model)
        changed = sorted(model.glob("*.safetensors"))[1]
        os.truncate(changed, 100)
        fetches: list[Running] = []
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:

                async def fetch() -> None:
                    await bob.fetch(published.manifest, tmp_path / "out", ann, started=fetches.append, patience_s=60)

                nursery.start_soon(fetch)
                while not fetches or fetches[0].explain().bound != "holders":
                    await trio.sleep(0.01)  # Without a pause it would keep the threads from their work.
                found = fetches[0].explain()
                nursery.cancel_scope.cancel()
    assert found.because.startswith(f"no provider holds chunk 0 of {changed.name}")
    assert found.sources[0].state == "holds nothing that is missing"


async def explained_beside(
    tmp_path: Path, bend: Bend, ready: Callable[[Explanation], bool], *, bytes_max: int
) -> tuple[Explanation, str]:
    """Fetch through a gate that holds after `bytes_max`, and from a web server that is no more than the files; return
    the first explanation that is `ready`, and the server's URL."""
    fetches: list[Running] = []
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob") as bob:
        model = make_safetensors_folder(tmp_path / "model", 24 << 20, files=2, seed=3)
        published = await ann.publish(model)

        async def open_finder() -> FixedFinder:
            return FixedFinder()

        with gate(ann.candidates[0].provider, bytes_max=bytes_max) as held, serve(model, bend) as server:
            through = Candidate(parse_peer_address(held.address), "direct")
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    plane = MirrorPlane(nursery)

                    async def run() -> None:
                        await fetch(
                            Wish("test", published.manifest, tmp_path / "out"),
                            search=Search([through], open_finder, given=[parse_mirror(server.url)]),
                            means=Means(bob.plane, bob.store, bob.workers, bob.key.peer_id, lambda: plane),
                            watch=bob.events.append,
                            started=fetches.append,
                        )

                    nursery.start_soon(run)
                    while not fetches or not ready(found := fetches[0].explain()):
                        await trio.sleep(0.01)  # Without a pause it would keep the threads from their work.
                    nursery.cancel_scope.cancel()
        return found, server.url


def state_of(explanation: Explanation, who: str) -> str:
    [state] = [source.state for source in explanation.sources if source.peer_id == who]
    return state


async def test_a_mirror_is_named_by_its_url_with_what_it_owes(tmp_path: Path) -> None:
    def owes(now: Explanation) -> bool:
        return any(source.via == "mirror" and source.bytes_leased > 0 for source in now.sources)

    found, url = await explained_beside(tmp_path, Bend.SILENT, owes, bytes_max=4 << 20)
    [source] = [source for source in found.sources if source.via == "mirror"]
    assert (source.peer_id, source.addresses, source.links, source.state) == (url, (), 1, "sending")


async def test_a_mirror_without_metadata_is_not_what_the_fetch_waits_for(tmp_path: Path) -> None:
    def bare(now: Explanation) -> bool:
        return any(source.state == "connected; has nothing that describes the manifest" for source in now.sources)

    found, url = await explained_beside(tmp_path, Bend.BARE, bare, bytes_max=3000)
    assert found.bound == "metadata"
    assert url not in found.because


async def test_what_turned_out_to_be_no_mirror_is_said_to_be_none(tmp_path: Path) -> None:
    def unusable(now: Explanation) -> bool:
        return any(source.state.startswith("no mirror, and not asked again: ") for source in now.sources)

    found, url = await explained_beside(tmp_path, Bend.NO_RANGES, unusable, bytes_max=4 << 20)
    assert "with the whole file" in state_of(found, url)

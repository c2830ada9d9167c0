"""Every activity, cancelled at one checkpoint after the other, leaves no task, thread, descriptor, lock or file behind.

The production engine in the simulator, so that a checkpoint has its number; stores and ledger are those of a home on
disk. After each cancellation the same activity is run again, and must end well: what it left is what that needs.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import trio

from p2phub import limits
from p2phub.content import RangeSet, digest_of
from p2phub.discovery import Candidate
from p2phub.engine.announce import Announcer
from p2phub.engine.publish import Order, Outcome, publish
from p2phub.engine.resolve import Resolver
from p2phub.engine.verify import verify
from p2phub.errors import NoProvider
from p2phub.identity import parse_mirror
from p2phub.manifest import mirror_blob_path, mirror_release_path, sign_release
from p2phub.net.mirror import MirrorPlane
from simnet import det
from simnet.truth import hashed
from tests.support.covers import covers
from tests.support.memory_web import MemoryWeb
from tests.support.town import (
    FILES,
    PUBLISHER,
    TellingFinder,
    Town,
    cancel_everywhere,
    in_town,
    release_of,
    some_or_all,
)


@covers("F30")
@some_or_all
def test_a_fetch_cancelled_at_any_checkpoint_leaves_what_it_resumes_from_and_nothing_else(
    tmp_path: Path, most: int
) -> None:
    async def scene(town: Town) -> None:
        await cancel_everywhere(town, lambda number: town.fetch(f"d{number}"), most, may_leave="d{}")

    in_town(tmp_path, scene)


@covers("F30")
@some_or_all
def test_serving_cancelled_at_any_checkpoint_ends_its_connections_and_who_fetched_goes_on(
    tmp_path: Path, most: int
) -> None:
    async def scene(town: Town) -> None:
        async def serve_until_fetched(number: int) -> None:
            """Serve while bob fetches, who waits for who serves to come back."""
            if number not in fetched:
                fetched[number] = trio.Event()
                customers.start_soon(buy, number)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(town.ann.live)
                await fetched[number].wait()
                nursery.cancel_scope.cancel()

        async def buy(number: int) -> None:
            while not fetched[number].is_set():
                with suppress(NoProvider):  # Nobody was there when it began; its user tries again.
                    await town.fetch(f"d{number}", known=[town.ann])
                    fetched[number].set()
                await trio.sleep(1)

        fetched: dict[int, trio.Event] = {}
        async with trio.open_nursery() as customers:
            await cancel_everywhere(town, serve_until_fetched, most // 2, may_leave="d{}", of=town.ann)

    in_town(tmp_path, scene, living=("bob",))


@covers("F30")
@some_or_all
def test_a_fetch_from_a_mirror_cancelled_at_any_checkpoint_closes_its_connections(tmp_path: Path, most: int) -> None:
    async def scene(town: Town) -> None:
        files = {f"/m/{path}": data for path, data in town.truth.files.items()}
        files |= {f"/m/{mirror_blob_path(digest_of(blob))}": blob for blob in town.truth.blobs}
        mirror = parse_mirror("http://127.0.0.1:8080/m")
        async with trio.open_nursery() as nursery:
            web, mirrors = MemoryWeb(nursery, files), MirrorPlane(nursery)

            async def fetch_from_it(number: int) -> None:
                await town.fetch(f"d{number}", mirrors=[mirror], plane=mirrors)

            with web.instead_of_sockets():
                await cancel_everywhere(town, fetch_from_it, most, may_leave="d{}")
            assert not web.connections
            nursery.cancel_scope.cancel()

    in_town(tmp_path, scene, living=("bob",))


@covers("F30")
@some_or_all
def test_a_question_to_a_mirror_cancelled_at_any_checkpoint_closes_every_connection(tmp_path: Path, most: int) -> None:
    """Even if the mirror sent us on to another, so that there are two."""

    async def scene(town: Town) -> None:
        path = f"/m/{mirror_release_path(PUBLISHER.peer_id, 'model', 'main')}"
        mirror = parse_mirror("http://127.0.0.1:8080/m")
        async with trio.open_nursery() as nursery:
            web = MemoryWeb(nursery, {path: bytes(40_000)[: limits.RELEASE_BYTES_MAX]}, moved={path: "1.0.0.1"})
            mirrors = MirrorPlane(nursery)

            async def ask(number: int) -> None:
                assert await mirrors.release(mirror, PUBLISHER.peer_id, "model", "main") == web.files[path]

            with web.instead_of_sockets():
                await cancel_everywhere(town, ask, 2 * most)
            assert not web.connections
            nursery.cancel_scope.cancel()

    in_town(tmp_path, scene, living=())


@covers("F30")
@some_or_all
def test_a_publish_cancelled_at_any_checkpoint_records_all_or_nothing(tmp_path: Path, most: int) -> None:
    async def scene(town: Town) -> None:
        store, ledger = town.store_and_ledger("home")

        async def publish_anew(number: int) -> None:
            folder = town.make_folder(f"p{number}")
            outcome = await publish(
                Order(folder, f"m{number}"), key=PUBLISHER, store=store, ledger=ledger, workers=town.workers,
                watch=lambda event: None,
            )  # fmt: skip
            assert await town.workers.run(lambda: store.read_plan(outcome.manifest)) is not None
            found = {item.name: item.signed for item in ledger.publications()}
            assert found[f"m{number}"] == outcome.signed
            assert {path: (folder / path).read_bytes() for path in FILES} == town.truth.files

        await cancel_everywhere(town, publish_anew, most, may_leave="p{}")

    in_town(tmp_path, scene, living=())


@covers("F30")
@some_or_all
def test_a_resolve_cancelled_at_any_checkpoint_believes_the_same_when_it_is_run_again(
    tmp_path: Path, most: int
) -> None:
    async def scene(town: Town) -> None:
        _, ledger = town.store_and_ledger("home")
        signed = {f"m{number}": sign_release(PUBLISHER, release_of(town, f"m{number}")) for number in range(100)}

        async def resolve(number: int) -> None:
            """Ask cy, who does not know the name, and then whom the finder finds."""
            assert town.bob.plane is not None
            name = f"m{number % 100}"

            async def open_finder() -> TellingFinder:
                await trio.sleep(0.1)
                return TellingFinder(signed[name])

            resolver = Resolver(ledger=ledger, workers=town.workers, dialler=town.bob.plane, open_finder=open_finder)
            resolved = await resolver.resolve(f"{PUBLISHER.peer_id}/{name}", [town.cy.where])
            assert (resolved.manifest, resolved.signed) == (town.truth.root, signed[name])
            accepted = ledger.accepted(PUBLISHER.peer_id, name, "main")
            assert accepted is not None
            assert accepted.signed == signed[name]

        await cancel_everywhere(town, resolve, most)

    in_town(tmp_path, scene, living=("cy", "bob"))


@covers("F30")
@some_or_all
def test_announcing_cancelled_at_any_checkpoint_is_done_again_by_the_next(tmp_path: Path, most: int) -> None:
    async def scene(town: Town) -> None:
        store, ledger = town.store_and_ledger("home")
        order = Order(town.make_folder("p"), "model")
        outcome: Outcome = await publish(
            order, key=PUBLISHER, store=store, ledger=ledger, workers=town.workers, watch=lambda event: None
        )

        async def announce(number: int) -> None:
            finder = TellingFinder()
            announcer = Announcer(finder, store=store, ledger=ledger, workers=town.workers, own=PUBLISHER.peer_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(announcer.run)
                assert await announcer.wait_announced(outcome.manifest) == 3
                nursery.cancel_scope.cancel()
            assert finder.announced == [outcome.manifest]
            assert finder.put == [outcome.signed]

        await cancel_everywhere(town, announce, most)

    in_town(tmp_path, scene, living=())


@covers("F30")
@some_or_all
def test_a_search_cancelled_at_any_checkpoint_leaves_nothing_and_finds_all_when_it_is_run_again(
    tmp_path: Path, most: int
) -> None:
    async def scene(town: Town) -> None:
        async def look(number: int) -> None:
            send, heard = trio.open_memory_channel[Candidate](0)
            search = town.search(known=[town.ann])
            found = []

            async def ask() -> None:
                async with send:
                    for round_number in (0, 1):
                        await search.look(town.truth.root, round_number, send)

            async with heard, trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                async for candidate in heard:
                    found.append(candidate.provider)
            assert found[:2] == [town.ann.where] * 2
            assert set(found[2:]) == {town.ann.where, town.cy.where}

        await cancel_everywhere(town, look, most)

    in_town(tmp_path, scene, living=())


@covers("F30")
@some_or_all
def test_a_verify_cancelled_at_any_checkpoint_leaves_no_file_open(tmp_path: Path, most: int) -> None:
    async def scene(town: Town) -> None:
        store, _ = town.store_and_ledger("home")
        folder, truth = town.make_folder("p"), town.truth
        store.put_blobs(truth.blobs)
        store.hold(truth.manifest, truth.root, folder, hashed(store, truth, folder))
        (holding,) = store.holdings()

        async def check(number: int) -> None:
            found = await verify(
                holding,
                truth.manifest,
                truth.table,
                files=RangeSet.whole(truth.table.files),
                store=store,
                workers=town.workers,
                advanced=lambda count: det.pause(0.01),
            )
            assert found.damages == ()

        await cancel_everywhere(town, check, most)

    in_town(tmp_path, scene, living=())

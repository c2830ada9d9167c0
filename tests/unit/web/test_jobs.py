"""Jobs of the page live until they are done, and are told of with what the node knows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import api, limits
from p2phub.errors import NoProvider
from p2phub.http.refusal import Refusal
from p2phub.web import bodies
from p2phub.web.jobs import ENDED_KEPT_MAX, SOURCES_TOLD_MAX, Jobs
from tests.support.scripted_hub import Script, job_of_node, scripted_hub


class Held:
    """A verb that goes on until it is let go, or stopped."""

    def __init__(self, *events: api.Event, result: Any = None) -> None:
        self.events, self.result = events, result
        self.go = trio.Event()
        self.was_stopped = False

    async def __call__(self, *, watch: api.Watch, **args: Any) -> Any:
        for event in self.events:
            watch(event)
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.was_stopped = True
            raise
        return self.result


STARTED = api.Started("ann/mini", "m" * 8, 100, 10)


def jobs_of(nursery: trio.Nursery, home: Path, **says: Any) -> Jobs:
    return Jobs(scripted_hub(Script(says), home, nursery), nursery, clock=trio.current_time)


async def test_a_fetch_is_told_of_with_what_the_node_says_of_it(tmp_path: Path, autojump_clock: object) -> None:
    pin = Held(STARTED, api.Progress(40, 12.0))
    async with trio.open_nursery() as nursery:
        jobs = jobs_of(nursery, tmp_path, pin=pin)
        number = jobs.fetch(bodies.Fetch("ann/mini"))
        await trio.testing.wait_all_tasks_blocked()
        (alone,) = jobs.told([])
        assert (alone["id"], alone["action"], alone["state"], alone["mine"]) == (number, "fetch", "running", True)
        assert (alone["done_bytes"], alone["total_bytes"], alone["rate"], alone["eta_s"]) == (40, 100, 12.0, 5.0)
        assert (alone["sources"], alone["why"]) == ([], None)
        other = job_of_node(8, "cy/other")
        told = jobs.told([job_of_node(7, "ann/mini"), other])
        assert [each["id"] for each in told] == ["8", number]
        assert (told[1]["why"], told[1]["bound"]) == ("the network is slower", "network")
        assert told[1]["sources"] == [
            {"peer_id": "ann", "address": "/ip4/192.0.2.1/tcp/1", "kind": "direct", "near": "far", "rate": 10.0,
             "bytes": 40, "links": 1, "note": "sending"}
        ]  # fmt: skip
        assert (told[0]["mine"], told[0]["rate"], told[0]["eta_s"]) == (False, 10.0, 6.0)
        pin.go.set()
        await trio.testing.wait_all_tasks_blocked()
        (done,) = jobs.told([])
        assert (done["state"], done["done_bytes"], done["rate"]) == ("done", 100, 0.0)
        assert done["ended"] is not None


async def test_a_job_that_waits_says_for_what(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        pin = Held(STARTED, api.Waiting("nobody is there", "it looks again in 5 s"))
        jobs = jobs_of(nursery, tmp_path, pin=pin)
        jobs.pin("ann/mini")
        await trio.testing.wait_all_tasks_blocked()
        (told,) = jobs.told([])
        assert (told["state"], told["why"]) == ("waiting", "nobody is there; it looks again in 5 s")
        waiting = {"reason": "cy is away", "next": "it waits"}
        twin = job_of_node(1, "ann/mini")
        twin["explanation"]["waiting"] = waiting
        (told,) = jobs.told([twin])
        assert (told["state"], told["why"], told["rate"]) == ("waiting", "cy is away; it waits", 0.0)
        nursery.cancel_scope.cancel()


async def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        jobs = jobs_of(nursery, tmp_path, pin=NoProvider("nobody has it", hint="wait"))
        jobs.pin("ann/mini")
        await trio.testing.wait_all_tasks_blocked()
        (told,) = jobs.told([])
        assert (told["state"], told["error"], told["hint"]) == ("failed", "nobody has it", "wait")


async def test_a_job_is_stopped_and_only_one_of_the_page(tmp_path: Path) -> None:
    pin = Held(STARTED)
    async with trio.open_nursery() as nursery:
        jobs = jobs_of(nursery, tmp_path, pin=pin)
        number = jobs.pin("ann/mini")
        await trio.testing.wait_all_tasks_blocked()
        jobs.stop(number)
        await trio.testing.wait_all_tasks_blocked()
        assert pin.was_stopped
        assert [each["state"] for each in jobs.told([])] == ["stopped"]
        for other in ("7", "p99", "x"):
            with pytest.raises(Refusal) as refused:
                jobs.stop(other)
            assert refused.value.status == 404


async def test_a_job_ends_with_the_page(tmp_path: Path) -> None:
    pin = Held(STARTED)
    async with trio.open_nursery() as nursery:
        jobs_of(nursery, tmp_path, pin=pin).pin("ann/mini")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert pin.was_stopped


async def test_a_published_folder_is_told_of_by_its_reference(tmp_path: Path) -> None:
    published = api.Published("ann/mini", "m", "ticket", 1, 2, 2, True, 0.1)
    publish = Held(api.PublishProgress(1, 2, 1), result=published.as_json())
    async with trio.open_nursery() as nursery:
        jobs = jobs_of(nursery, tmp_path, publish=publish)
        jobs.publish(bodies.Publish(path="/some/folder", name="mini"))
        await trio.testing.wait_all_tasks_blocked()
        (told,) = jobs.told([])
        assert (told["ref"], told["done_bytes"], told["total_bytes"]) == ("mini", 1, 2)
        publish.go.set()
        await trio.testing.wait_all_tasks_blocked()
        (told,) = jobs.told([])
        assert (told["ref"], told["state"], told["ticket"]) == ("ann/mini", "done", "ticket")


async def test_a_publication_is_private_where_that_was_asked(tmp_path: Path) -> None:
    published = api.Published("ann/mini", "m", "ticket", 1, 2, 2, False, 0.1).as_json()
    script = Script({"publish": published})
    async with trio.open_nursery() as nursery:
        jobs = Jobs(scripted_hub(script, tmp_path, nursery), nursery, clock=trio.current_time)
        jobs.publish(bodies.Publish(path="/some/folder", name="mini", private=True, allow=["bob"]))
        jobs.publish(bodies.Publish(path="/some/folder", name="open", description="Words"))
    known, secret = sorted((args for _, args in script.asked), key=lambda args: bool(args["private"]))
    assert (secret["private"], secret["allow"]) == (True, ["bob"])
    assert (known["private"], known["allow"], known["description"]) == (False, [], "Words")


ADDRESS = "/ip4/192.0.2.7/tcp/4717/p2p/12D3KooWKRyzVWW6ChFjQjK4miCty85Niy48tpPV95XdKu1BcvMA"


@pytest.mark.parametrize(("into", "verb"), [(None, "pin"), ("/some/folder", "fetch")])
async def test_a_fetch_asks_the_nodes_first_that_were_named(into: str | None, verb: str, tmp_path: Path) -> None:
    script = Script({verb: NoProvider("nobody has it")})
    async with trio.open_nursery() as nursery:
        jobs = Jobs(scripted_hub(script, tmp_path, nursery), nursery, clock=trio.current_time)
        jobs.fetch(bodies.Fetch("ann/mini", into, [ADDRESS]))
        for wrong in ("ann", "/ip4/192.0.2.7/tcp/4717", ADDRESS.replace("/ip4/", "/dns4/")):
            with pytest.raises(Refusal) as refused:
                jobs.fetch(bodies.Fetch("ann/mini", into, [wrong]))
            assert refused.value.status == 400
    (asked,) = script.asked
    assert (asked[0], asked[1]["providers"]) == (verb, [ADDRESS])
    (told,) = jobs.told([])
    assert (told["state"], told["providers"], told["into"]) == ("failed", [ADDRESS], into)


async def test_folders_are_whole_paths_and_parts_go_into_folders(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        jobs = jobs_of(nursery, tmp_path)
        for wrong in (bodies.Fetch("x", "relative"), bodies.Fetch("x", tensors=["a"])):
            with pytest.raises(Refusal) as refused:
                jobs.fetch(wrong)
            assert refused.value.status == 400
        with pytest.raises(Refusal) as refused:
            jobs.publish(bodies.Publish(path="relative", name="x"))
        assert refused.value.status == 400
        assert jobs.told([]) == []


async def test_there_are_bounds_on_jobs_and_on_what_is_told(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        jobs = jobs_of(nursery, tmp_path, pin=Held())
        numbers = [jobs.pin(f"ann/m{number}") for number in range(limits.PAGE_JOBS_MAX)]
        with pytest.raises(Refusal) as refused:
            jobs.pin("ann/one-more")
        assert refused.value.status == 503
        await trio.testing.wait_all_tasks_blocked()
        for number in numbers:
            jobs.stop(number)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(ENDED_KEPT_MAX):
            jobs.stop(jobs.pin(f"ann/n{number}"))
            await trio.testing.wait_all_tasks_blocked()
        told = jobs.told([])
        assert [each["ref"] for each in told] == [f"ann/n{number}" for number in reversed(range(ENDED_KEPT_MAX))]
        crowd = job_of_node(1, "ann/mini")
        crowd["explanation"]["sources"] *= 100
        assert len(jobs.told([crowd])[0]["sources"]) == SOURCES_TOLD_MAX
        assert jobs.told([crowd])[0]["sources_total"] == 100

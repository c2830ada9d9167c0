"""Caps over real sockets. Rates are asserted in the caps' own virtual time, which only waiting for a cap moves on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import PeerRefused
from p2phub.identity import PeerAddress
from p2phub.net import Blobs, Closed, Link, Opened
from p2phub.net.throttle import Caps, Throttle
from p2phub.observe import Event, PeerDropped
from tests.support.covers import covers
from tests.support.hosts import TestHost, open_host
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Scene

END_S = 60.0
MODEL_BYTES = 12 << 20


class Time:
    """A clock that stands still but for who waits under a cap and watches it: that one's wait is over at once."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, condition: threading.Condition, timeout_s: float | None) -> None:
        if timeout_s is None:
            condition.wait()
        else:
            self.now += timeout_s

    def throttle(self, rate: float | None = None) -> Throttle:
        return Throttle(rate, clock=self, sleep=self.sleep)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_safetensors_folder(tmp_path / "model", MODEL_BYTES, files=3, seed=7)


async def test_two_providers_under_one_cap_on_receiving_keep_it_and_neither_is_dropped(
    tmp_path: Path, model: Path
) -> None:
    time = Time()
    caps = Caps(down=time.throttle(1e6))
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cy", caps) as cy,
    ):
        published = await ann.publish(model)
        await bob.publish(model)
        done = await cy.fetch(published.manifest, tmp_path / "out", ann, bob)
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert time.now - 1000 == pytest.approx(published.bytes / 1e6, rel=0.05)
    assert done.bytes_received == published.bytes
    assert not [event for event in cy.events if isinstance(event, PeerDropped)]


async def test_a_cap_on_sending_is_kept_for_all_requesters_together(tmp_path: Path, model: Path) -> None:
    time = Time()
    async with open_host(tmp_path / "a", "ann", Caps(up=time.throttle(1e6))) as ann:
        published = await ann.publish(model)
        for name in ("bob", "cy"):
            async with open_host(tmp_path / name, name) as other:
                await other.fetch(published.manifest, tmp_path / f"of {name}", ann)
            assert tree_digest(tmp_path / f"of {name}") == tree_digest(model)
    assert time.now - 1000 == pytest.approx(2 * published.bytes / 1e6, rel=0.05)


async def test_the_cap_of_one_job_does_not_hold_for_another(tmp_path: Path, model: Path) -> None:
    time = Time()
    caps = Caps(down=time.throttle())
    other_model = make_safetensors_folder(tmp_path / "other", 2 << 20, files=1, seed=8)
    async with open_host(tmp_path / "a", "ann") as ann, open_host(tmp_path / "b", "bob", caps) as bob:
        capped, free = await ann.publish(model), await ann.publish(other_model, name="other")
        caps.down.admit(capped.manifest, 500e3)
        await bob.fetch(free.manifest, tmp_path / "free", ann)
        assert time.now == 1000
        await bob.fetch(capped.manifest, tmp_path / "capped", ann)
    assert time.now - 1000 == pytest.approx(capped.bytes / 500e3, rel=0.05)


async def test_under_a_low_cap_on_sending_only_as_many_are_served_as_it_feeds(tmp_path: Path, model: Path) -> None:
    caps = Caps(up=Time().throttle(2 * limits.SLOT_RATE_MIN))
    async with open_host(tmp_path / "a", "ann", caps) as ann, open_host(tmp_path / "b", "bob") as bob:
        published = await ann.publish(model)
        there = ann.candidates[0].provider
        links = []
        for _ in range(3):
            links.append(await bob.plane.open_link(there, published.manifest, prefix_bytes=0, via="direct"))
            report = await links[-1].next_report()
            served = isinstance(report, Opened)
            assert served is (len(links) <= 2), report
        assert isinstance(report, Closed)
        assert isinstance(report.error, PeerRefused)
        assert report.error.reason == "busy"


@covers("T38")
async def test_a_place_that_one_requester_has_too_many_of_goes_to_another(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GIVES_WAY_S", float("inf"))  # None is idle, however slow this machine is.
    caps = Caps(up=Time().throttle(2 * limits.SLOT_RATE_MIN))
    async with (
        open_host(tmp_path / "a", "ann", caps) as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cy") as cy,
    ):
        published = await ann.publish(model)
        there = ann.candidates[0].provider
        links = [await _opened(bob, there, published.manifest) for _ in range(2)]
        other = await _opened(cy, there, published.manifest)
        assert isinstance(await links[1].next_report(), Closed)  # The younger one; the other goes on.
        links[0].ask([(published.manifest, limits.MANIFEST_ROOT_BYTES_MAX)])
        assert isinstance(await links[0].next_report(), Blobs)
        for link in (links[0], other):
            link.close()


async def _opened(host: TestHost, there: PeerAddress, manifest: Digest) -> Link:
    link = await host.plane.open_link(there, manifest, prefix_bytes=0, via="direct")
    assert isinstance(await link.next_report(), Opened)
    return link


async def test_under_a_low_cap_on_receiving_no_more_connections_are_made_than_it_feeds(
    tmp_path: Path, model: Path
) -> None:
    caps = Caps(down=Time().throttle(limits.SLOT_RATE_MIN))
    served: list[int] = []
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_host(tmp_path / "c", "cy", caps) as cy,
    ):
        published = await ann.publish(model)
        await bob.publish(model)

        def look(event: Event) -> None:
            served.append(len(cy.plane.links))

        await cy.fetch(published.manifest, tmp_path / "out", ann, bob, watch=look)
    assert set(served) <= {0, 1}


def test_the_caps_of_running_nodes_and_jobs_are_shown_and_changed(scene: Scene, model: Path) -> None:
    reference = scene.publish("ann", model, name="m")["reference"]
    ann = scene.node("ann", "--up", "64KiB")
    scene.node("bob", "--down", "8MB")
    fetch = scene.start(
        "bob", "fetch", reference, "--provider", ann.address, "--into", scene.folder / "m", "--down", "64KiB",
        "--background", "--no-lan",
    )  # fmt: skip
    fetch.wait_for("source", timeout_s=END_S)  # Minutes from its end, at this rate.

    def last(title: str, *words: str) -> dict[str, object]:
        process = scene.start(title, *words)
        assert process.finish(timeout_s=END_S) == 0
        return process.events[-1]

    status = last("bob", "status")
    assert (status["up"], status["down"]) == (None, 8_000_000)
    [job] = status["jobs"]  # type: ignore[misc]
    assert (job["down"], job["up"], job["background"]) == (65536, None, True)  # type: ignore[has-type]
    number = job["job"]  # type: ignore[has-type]
    assert last("bob", "limit", "--down", "none") == {
        "event": "limit", "job": None, "up": None, "down": None, "by_schedule": False
    }  # fmt: skip
    assert last("ann", "limit", "--up", "none")["up"] is None
    assert last("bob", "limit", "--job", str(number), "--down", "none")["job"] == number
    assert fetch.finish(timeout_s=END_S) == 0
    assert tree_digest(scene.folder / "m") == tree_digest(model)
    assert not [event for event in fetch.events if event["event"] == "peer_dropped"]
    missing = scene.start("bob", "limit", "--job", str(number), "--down", "1MB")
    assert missing.finish(timeout_s=END_S) == 3


def test_without_a_running_node_there_is_nothing_to_limit(scene: Scene) -> None:
    process = scene.start("home", "limit", "--up", "1MB")
    assert process.finish(timeout_s=END_S) == 2
    assert "no node runs" in process.events[-1]["message"]

"""What a node counts, and whether it is ready to be asked."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from p2phub.content import digest_of
from p2phub.errors import DiskError, HubError, NoProvider, Unsafe, UsageError
from p2phub.node.capping import JobCaps
from p2phub.node.rates import Rates
from p2phub.node.running import Running
from p2phub.node.verbs import watching
from p2phub.observe import OUTCOMES, Tally, outcome_of
from tests.support.verbs import Scene

PUBLISH: dict[str, Any] = {
    "tag": "main",
    "kind": "model",
    "description": "",
    "licence": "",
    "private": True,
    "allow": (),
    "ignore": (),
    "include": (),
}


def caps() -> JobCaps:
    return JobCaps(digest_of(b"a"), Rates(), False)


async def test_what_publish_read_is_counted_and_what_is_held_is_told(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "REST", 0)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.bin").write_bytes(b"x" * 5000)
    before = await scene.call("counters")
    await scene.call("publish", folder=str(tmp_path / "model"), name="m", **PUBLISH)
    after = await scene.call("counters")
    assert (before["hashed_bytes"], after["hashed_bytes"]) == (0, 5000)
    assert (before["store"]["held"], after["store"]["held"]) == ({}, {"published": {"manifests": 1, "bytes": 5000}})
    assert after["store"]["free_bytes"] > 0
    assert after["store"]["quota"] is None
    assert after["processes"][0]["role"] == "node"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (NoProvider("nobody"), "no_provider"),
        (Unsafe("pickle"), "not_trusted"),
        (DiskError("full"), "disk"),
        (ZeroDivisionError(), "bug"),
    ],
)
def test_each_job_that_ends_is_counted_by_how(scene: Scene, error: Exception | None, outcome: str) -> None:
    node = Running(scene.parts)
    try:
        with node.job(reference="r", into="/x", caps=caps()):
            if error is not None:
                raise error
    except (HubError, ZeroDivisionError):
        pass
    assert scene.parts.tally.jobs == {outcome: 1}
    assert outcome in OUTCOMES


async def test_one_that_was_stopped_is_none_that_failed(scene: Scene) -> None:
    node = Running(scene.parts)
    with trio.CancelScope() as scope, node.job(reference="r", into="/x", caps=caps()):
        scope.cancel()
        await trio.sleep_forever()
    assert scene.parts.tally.jobs == {"stopped": 1}


async def test_jobs_are_told_by_whether_they_wait(scene: Scene) -> None:
    node = Running(scene.parts)
    with node.job(reference="a", into="/x", caps=caps()), node.job(reference="b", into="/y", caps=caps()) as told:
        told["event"] = "waiting"
        assert (await watching.counters(node, lambda event: None))["jobs"] == {"running": 1, "waiting": 1}


async def test_what_is_held_is_read_again_only_when_it_changed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[None] = []
    holdings = scene.real_store.holdings
    monkeypatch.setattr(scene.real_store, "holdings", lambda: (reads.append(None), holdings())[1])
    node = Running(scene.parts)

    async def counted() -> int:
        await watching.counters(node, lambda event: None)
        return len(reads)

    assert [await counted(), await counted()] == [1, 1]
    scene.parts.shelf.forget(digest_of(b"a"))
    monkeypatch.setattr(watching, "REST", 1_000_000)
    assert await counted() == 1  # Soon after, whatever it costs, it would be what the node is busy with.
    monkeypatch.setattr(watching, "REST", 0)
    assert await counted() == 2


async def test_a_store_that_fails_does_not_hide_the_rest(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise DiskError("the disk is gone")

    monkeypatch.setattr(scene.real_store, "holdings", fails)
    told = await scene.call("counters")
    assert told["store"] is None
    assert told["sent_bytes"] == 0


async def ready(node: Running) -> list[str]:
    return list((await watching.readiness(node, lambda event: None))["reasons"])


async def test_a_node_is_ready_that_can_be_dialled_and_can_write(scene: Scene) -> None:
    node = Running(scene.parts)
    assert await ready(node) == ["address"]
    scene.parts.addresses = lambda: ("somewhere",)
    assert await ready(node) == []
    assert not [path for path in scene.parts.config.home.iterdir() if path.name.startswith(".ready")]


async def test_one_whose_home_cannot_be_written_is_not(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    scene.parts.addresses = lambda: ("somewhere",)
    node, can = Running(scene.parts), [False]
    looks: list[Path] = []

    def is_writable(home: Path) -> bool:
        looks.append(home)
        return can[0]

    monkeypatch.setattr(watching, "is_writable", is_writable)
    assert await ready(node) == ["store"]
    can[0] = True
    assert await ready(node) == ["store"]  # Whoever asks as often as they like costs one look in two seconds.
    assert len(looks) == 1
    mock_clock.jump(watching.LOOK_S)
    assert await ready(node) == []


def test_writing_is_tried_where_a_file_needs_no_name_and_where_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watching.is_writable(tmp_path)
    assert not watching.is_writable(tmp_path / "gone")
    monkeypatch.setattr(watching, "os", SimpleNamespace(**{**vars(os), "O_TMPFILE": os.O_DIRECTORY}))
    assert watching.is_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_none_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/dev/full` is what a full disk is: it opens, and takes nothing."""
    monkeypatch.setattr(watching, "_nameless", lambda folder: os.open("/dev/full", os.O_WRONLY))
    assert not watching.is_writable(Path("/"))


def test_sums_of_verbs_and_errors_have_few_words() -> None:
    tally = Tally()
    gc = {"bytes": 5, "blob_bytes": 2}
    tally.take("gc", {"dry_run": True, **gc})
    assert tally.collected_bytes == 0
    tally.take("gc", {"dry_run": False, **gc})
    tally.take("publish", {"bytes_hashed": 3})
    tally.take("adopt", {"bytes_hashed": 4})
    assert (tally.collected_bytes, tally.hashed_bytes) == (7, 7)
    assert outcome_of(UsageError("x")) == "usage"
    assert outcome_of(KeyboardInterrupt()) == "stopped"

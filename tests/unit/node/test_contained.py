"""A fault of our own in what a daemon does ends that one thing, and the node lives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2phub.content import digest_of
from p2phub.errors import HubError, NotFound
from p2phub.identity import SecretKey
from p2phub.node import lifecycle
from p2phub.node import reading as node_reading
from p2phub.node.contained import contained
from p2phub.node.reading import Reading
from tests.support.covers import covers
from tests.support.verbs import Scene

MANIFEST = digest_of(b"a manifest")


def test_a_bug_is_logged_and_told_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HubError, match="internal error in the node: ZeroDivisionError") as caught, contained("a look"):
        raise ExceptionGroup("", [ZeroDivisionError("x")])
    assert caught.value.hint == "see its log"
    assert "ended a look" in caplog.text


def test_an_error_stays_what_it_is_also_out_of_a_nursery(caplog: pytest.LogCaptureFixture) -> None:
    error = NotFound("gone")
    for raised in (error, ExceptionGroup("", [ExceptionGroup("", [error])])):
        with pytest.raises(NotFound) as caught, contained("a look"):
            raise raised
        assert caught.value is error
    assert not caplog.records


@covers("F31")
async def test_a_bug_in_a_verb_that_the_gateway_asks_of_the_node_is_an_error_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page had begun took the node with it."""
    verbs = lifecycle._DaemonVerbs(scene.node)

    async def names(*_: object) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setattr("p2phub.node.verbs.naming.names", names)
    with pytest.raises(HubError, match="ZeroDivisionError"):
        await verbs.call("names", {}, lambda event: None)


@covers("F31")
async def test_a_bug_in_a_fetch_for_readers_is_told_to_them_and_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the node's own task, and what strangers send is what it works on."""

    class Room:
        async def __aenter__(self) -> None:
            return None

        async def __aexit__(self, *_: object) -> None:
            return None

    async def fetch_and_share(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(node_reading, "fetch_and_share", fetch_and_share)
    monkeypatch.setattr(node_reading, "is_public", lambda resolved: True)
    async with trio.open_nursery() as nursery:
        parts = SimpleNamespace(
            store=SimpleNamespace(own_folder=lambda digest: None), config=SimpleNamespace(allow_unsafe=False)
        )
        keeping = SimpleNamespace(room_for=lambda digest: Room())
        node: Any = SimpleNamespace(parts=parts, keeping=keeping, nursery=nursery, announcer=None, readings={})
        resolved = SimpleNamespace(manifest=MANIFEST)
        wanted: Any = SimpleNamespace(
            resolved=resolved, reference="ref", wait_s=0.0, given=(), mirrors=(), rates=SimpleNamespace()
        )
        reading = Reading(node, wanted)
        with pytest.raises(HubError, match="ZeroDivisionError"):
            async with reading._claim():
                pass


@covers("F31")
async def test_a_bug_in_telling_the_catalog_ends_that_look_alone(scene: Scene, autojump_clock: object) -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        raise ZeroDivisionError

    catalog: Any = scene.parts.catalog
    catalog.bring_up_to_date = look
    with trio.move_on_after(25):
        await catalog.keep_up()
    assert looks == 3


@covers("F31")
async def test_a_bug_in_a_look_at_a_place_has_that_place_away(scene: Scene, tmp_path: Any) -> None:
    from p2phub.node.shared_places import SharedPlaces

    away: list[str] = []

    def look(place: object) -> None:
        raise ZeroDivisionError

    places = SimpleNamespace(
        attached=lambda configured: (tmp_path,),
        only=lambda attached: None,
        look=look,
        set_away=lambda place, why: away.append(why),
    )
    scene.parts.places = places
    scene.parts.config = SimpleNamespace(shared=())
    scene.parts.key = SecretKey(b"k" * 32)
    await SharedPlaces(scene.parts).look()
    assert away == ["internal error in the node: ZeroDivisionError: "]

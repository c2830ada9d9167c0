"""What a node is asked about itself and others, cancelled at one checkpoint after the other: nothing of it is left.

The verbs as the daemon and commands carry them out, on a home of their own on disk. Each cancellation has a copy of one
home, so that what a verb finds or remembers is news to the next.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2phub.content import Codec
from p2phub.discovery import DialBudget
from p2phub.engine.announce import Announcer
from p2phub.engine.publish import Order, publish
from p2phub.engine.resolve import Resolver
from p2phub.engine.serve import StoreShelf
from p2phub.manifest import sign_release
from p2phub.net.throttle import Caps
from p2phub.node.config import Config
from p2phub.node.running import Running
from p2phub.node.verbs import Verbs
from p2phub.observe import Tally
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from tests.support.covers import covers
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

OURS = f"{PUBLISHER.peer_id}/ours"
THEIRS = f"{PUBLISHER.peer_id}/theirs"


class Home:
    """A home in which one folder is published as `ours`; the network knows `theirs`, which ann and cy hold."""

    def __init__(self, town: Town, at: Path) -> None:
        assert town.bob.plane is not None
        self.at, self.workers = at, town.workers
        self.store, self.ledger = FilesystemStore(at), FileLedger(at)
        finder = TellingFinder(sign_release(PUBLISHER, release_of(town, "theirs")))

        async def open_finder() -> TellingFinder:
            await trio.sleep(0.1)
            return finder

        plane: Any = town.bob.plane
        resolver = Resolver(ledger=self.ledger, workers=self.workers, dialler=plane, open_finder=open_finder)
        self.parts: Any = SimpleNamespace(
            ledger=self.ledger,
            store=self.store,
            places=self.store.places,
            resolver=resolver,
            workers=self.workers,
            shelf=StoreShelf(self.store, self.ledger),
            publisher=PUBLISHER,
            key=town.bob.key,
            dialler=plane,
            open_finder=open_finder,
            config=Config(at),
            caps=Caps(),
            budget=DialBudget(),
            tally=Tally(),
            addresses=lambda: (town.bob.where,),
            contacts=lambda: (town.ann.where, town.cy.where),
        )
        announcer = Announcer(finder, store=self.store, ledger=self.ledger, workers=self.workers, own=PUBLISHER.peer_id)
        self._verbs = Verbs(Running(self.parts, announcer))

    async def call(self, verb: str, **args: Any) -> dict[str, Any]:
        return await self._verbs.call(verb, args, lambda event: None)

    async def publish(self, folder: Path) -> None:
        order = Order(folder, "ours")
        await publish(
            order, key=PUBLISHER, store=self.store, ledger=self.ledger, workers=self.workers, watch=lambda event: None
        )

    @property
    def is_held(self) -> bool:
        """Whether the folder is held and published. Both, or neither."""
        held, published = self.store.holdings(), self.ledger.publications()
        assert [holding.manifest for holding in held] == [item.manifest for item in published]
        return bool(held)


@contextmanager
def open_home(town: Town, at: Path) -> Iterator[Home]:
    home = Home(town, at)
    try:
        yield home
    finally:
        home.ledger.close()
        home.store.close()


def cancel_verb(at: Path, most: int, ask: Callable[[Town, Home], Awaitable[object]]) -> None:
    """Cancel `ask` everywhere, each time in a home of its own."""

    async def scene(town: Town) -> None:
        folder = town.make_folder("p")
        (folder / "readme.md").write_bytes(b"another one")
        with open_home(town, at / "first") as first:
            await first.publish(folder)

        async def activity(number: int) -> None:
            place = at / f"h{number}"
            if not place.exists():
                shutil.copytree(at / "first", place)
            with open_home(town, place) as home:
                await ask(town, home)

        await cancel_everywhere(town, activity, most, may_leave="h{}")

    in_town(at, scene)


def there(town: Town) -> list[str]:
    return [str(town.cy.where)]


@covers("F30")
@some_or_all
def test_telling_what_something_is_cancelled_at_any_checkpoint_leaves_no_connection(tmp_path: Path, most: int) -> None:
    async def ask(town: Town, home: Home) -> None:
        told = await home.call("info", ref=THEIRS, providers=there(town), tensors=True)
        assert [each["path"] for each in told["files"]] == sorted(FILES)
        assert (told["manifest"], told["release"]["name"]) == (town.truth.root.text(Codec.MSGPACK), "theirs")
        assert (told["files_unknown_because"], told["tensors_unknown_because"]) == (None, None)

    cancel_verb(tmp_path, most, ask)


@covers("F30")
@some_or_all
def test_comparing_with_what_is_not_here_cancelled_at_any_checkpoint_leaves_no_connection(
    tmp_path: Path, most: int
) -> None:
    async def ask(town: Town, home: Home) -> None:
        told = await home.call("diff", before=OURS, after=THEIRS, providers=there(town))
        assert "readme.md" in [each["path"] for each in told["files"]]
        assert told["bytes_after"] == town.truth.bytes_total

    cancel_verb(tmp_path, most, ask)


@covers("F30")
@some_or_all
def test_a_doctors_round_cancelled_at_any_checkpoint_ends_its_questions(tmp_path: Path, most: int) -> None:
    async def ask(town: Town, home: Home) -> None:
        items = (await home.call("doctor"))["items"]
        found = {item["check"]: item["ok"] for item in items}
        assert (found["index"], found["network"], found["reachable"]) == (True, True, True), items

    cancel_verb(tmp_path, most, ask)


@covers("F30")
@some_or_all
def test_listing_a_home_and_its_history_cancelled_at_any_checkpoint_leaves_nothing(tmp_path: Path, most: int) -> None:
    async def ask(town: Town, home: Home) -> None:
        [item] = (await home.call("ls"))["items"]
        assert (item["complete"], item["published"]) == (True, True)
        [known] = (await home.call("log", ref=OURS))["items"]
        assert known["manifest"] == item["manifest"]
        [learned] = (await home.call("log", ref=THEIRS))["items"]
        assert learned["manifest"] == town.truth.root.text(Codec.MSGPACK)

    cancel_verb(tmp_path, most, ask)


@covers("F30")
@some_or_all
@pytest.mark.parametrize("verb", ["unpublish", "remove"])
def test_giving_something_up_cancelled_at_any_checkpoint_gives_up_all_of_it_or_nothing(
    tmp_path: Path, most: int, verb: str
) -> None:
    async def ask(town: Town, home: Home) -> None:
        if home.is_held:
            await home.call(verb, ref=OURS)
        assert not home.is_held
        await home.call("ls")

    cancel_verb(tmp_path, most, ask)

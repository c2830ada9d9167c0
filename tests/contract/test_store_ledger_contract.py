"""What every ledger promises, run on the real disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import digest_of
from p2phub.identity import PeerId
from p2phub.store import Accepted, Ledger, Publication
from p2phub.store.ledger import FileLedger
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.covers import covers

ANN, BOB = PeerId(b"\1" * 32), PeerId(b"\2" * 32)


def publication(name: str, *, tag: str = "main", signed: bytes = b"signed", private: bool = False) -> Publication:
    allow = (BOB,) if private else ()
    return Publication(ANN, name, tag, digest_of(name.encode()), Path("/models", name), signed, private, allow)


@pytest.fixture(params=["disk", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    made: Ledger = FileLedger(tmp_path / "home") if request.param == "disk" else MemoryLedger()
    yield made
    made.close()


def test_what_is_published_is_listed_until_it_is_withdrawn(ledger: Ledger) -> None:
    ledger.publish(publication("b"))
    ledger.publish(publication("a", private=True))
    ledger.publish(publication("a", tag="v2"))
    assert ledger.publications() == (publication("a", private=True), publication("a", tag="v2"), publication("b"))
    ledger.withdraw(ANN, "a", "main")
    ledger.withdraw(ANN, "never", "main")
    assert ledger.publications() == (publication("a", tag="v2"), publication("b"))


def test_a_newer_publication_of_a_name_replaces_the_older(ledger: Ledger) -> None:
    ledger.publish(publication("a", signed=b"first"))
    ledger.publish(publication("a", signed=b"second"))
    assert ledger.publications() == (publication("a", signed=b"second"),)


@covers("T11")
def test_the_highest_sequence_is_never_lowered(ledger: Ledger) -> None:
    assert ledger.accepted(ANN, "a", "main") is None
    ledger.accept(ANN, "a", "main", Accepted(b"seven", 7))
    ledger.accept(ANN, "a", "main", Accepted(b"six", 6))
    assert ledger.accepted(ANN, "a", "main") == Accepted(b"seven", 7)
    ledger.accept(ANN, "a", "main", Accepted(b"seven", 7, (b"one", b"two")))  # Proof of a lie at the same sequence.
    assert ledger.accepted(ANN, "a", "main") == Accepted(b"seven", 7, (b"one", b"two"))
    ledger.accept(ANN, "a", "main", Accepted(b"eight", 8))
    ledger.accept(BOB, "a", "main", Accepted(b"one", 1))
    assert sorted(ledger.all_accepted(), key=lambda item: item[3].sequence) == [
        (BOB, "a", "main", Accepted(b"one", 1)),
        (ANN, "a", "main", Accepted(b"eight", 8)),
    ]


def test_what_is_withheld_stays_so_until_it_is_said_otherwise(ledger: Ledger) -> None:
    one, two = digest_of(b"one"), digest_of(b"two")
    ledger.withhold(one, withheld=True)
    ledger.withhold(one, withheld=True)
    ledger.withhold(two, withheld=False)
    assert ledger.withheld() == {one}
    ledger.withhold(one, withheld=False)
    assert ledger.withheld() == frozenset()


@pytest.mark.parametrize("replaced", [True, False])
def test_what_was_private_is_withheld_once_no_name_says_so_any_more(ledger: Ledger, *, replaced: bool) -> None:
    private, public = publication("a", private=True), publication("b")
    ledger.publish(private)
    ledger.publish(private)
    ledger.publish(public)
    assert ledger.withheld() == frozenset()
    for each in (private, public):
        if replaced:
            ledger.publish(replace(each, manifest=digest_of(b"the next version")))
        else:
            ledger.withdraw(ANN, each.name, each.tag)
    assert ledger.withheld() == {private.manifest}


def test_what_was_private_and_is_published_to_all_is_not_withheld(ledger: Ledger) -> None:
    ledger.publish(publication("a", private=True))
    ledger.publish(replace(publication("a"), private=False))
    assert ledger.withheld() == frozenset()


def test_what_is_pinned_stays_so_until_it_is_unpinned(ledger: Ledger) -> None:
    one, two = digest_of(b"one"), digest_of(b"two")
    ledger.pin(one, pinned=True)
    ledger.pin(one, pinned=True)
    ledger.withhold(two, withheld=True)
    ledger.pin(two, pinned=False)
    assert ledger.pins() == {one}
    ledger.pin(one, pinned=False)
    assert ledger.pins() == frozenset()


def test_a_name_stands_for_what_was_said_last(ledger: Ledger) -> None:
    ledger.name("ann", str(ANN))
    ledger.name("org/model", f"{ANN}/model")
    ledger.name("ann", str(BOB))
    assert ledger.names() == {"ann": str(BOB), "org/model": f"{ANN}/model"}
    ledger.name("ann", None)
    ledger.name("never", None)
    assert ledger.names() == {"org/model": f"{ANN}/model"}


def test_the_history_of_a_name_has_each_release_once_in_order(ledger: Ledger) -> None:
    ledger.publish(publication("a", signed=b"one"))
    ledger.publish(publication("a", signed=b"one"))
    ledger.accept(ANN, "a", "main", Accepted(b"two", 2))
    ledger.publish(publication("b", signed=b"other"))
    assert ledger.history(ANN, "a", "main") == (b"one", b"two")
    assert ledger.history(BOB, "a", "main") == ()


def test_the_history_of_a_name_is_bounded_and_forgets_the_oldest(ledger: Ledger) -> None:
    for number in range(limits.HISTORY_MAX + 2):
        ledger.publish(publication("a", signed=b"%d" % number))
    history = ledger.history(ANN, "a", "main")
    assert len(history) == limits.HISTORY_MAX
    assert (history[0], history[-1]) == (b"2", b"%d" % (limits.HISTORY_MAX + 1))


def test_the_stamp_is_another_whenever_anything_changed_and_the_same_while_nothing_did(ledger: Ledger) -> None:
    changes: list[Callable[[], None]] = [
        lambda: ledger.publish(publication("a")),
        lambda: ledger.accept(BOB, "b", "main", Accepted(b"one", 1)),
        lambda: ledger.name("x", str(BOB)),
        lambda: ledger.name("x", None),
        lambda: ledger.pin(digest_of(b"m"), pinned=True),
        lambda: ledger.withdraw(ANN, "a", "main"),
    ]
    for change in changes:
        before = ledger.stamp()
        assert ledger.stamp() == before
        change()
        assert ledger.stamp() != before


def test_what_another_process_changed_is_told_the_next_time(tmp_path: Path) -> None:
    one, other = FileLedger(tmp_path / "home"), FileLedger(tmp_path / "home")
    one.publish(publication("a"))
    assert one.publications() == other.publications() == (publication("a"),)
    other.publish(publication("b"))
    other.accept(BOB, "b", "main", Accepted(b"one", 1))
    assert [item.name for item in one.publications()] == ["a", "b"]
    assert [name for _, name, _, _ in one.all_accepted()] == ["b"]
    one.withdraw(ANN, "a", "main")
    assert [item.name for item in other.publications()] == ["b"]
    one.close()
    other.close()

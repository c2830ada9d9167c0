"""What names without a publisher's key stand for is the user's to say, and what is published here."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.content import digest_of
from p2phub.engine.own_names import OwnNames
from p2phub.errors import NotFound, UsageError
from p2phub.manifest import parse_reference
from p2phub.store import Publication
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.covers import covers
from tests.support.hosts import key_of

ANN, BOB = key_of("ann").peer_id, key_of("bob").peer_id


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


def publish(ledger: MemoryLedger, name: str, *, publisher: object = ANN) -> None:
    ledger.publish(Publication(publisher, name, "main", digest_of(b"manifest"), Path("/folder"), b""))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "asked", "meant"),
    [
        ({}, f"{BOB}/model", f"{BOB}/model"),
        ({"bob": str(BOB)}, "bob/model@v2", f"{BOB}/model@v2"),
        ({"org/model": f"{BOB}/other"}, "org/model", f"{BOB}/other"),
        ({"org/model": f"{BOB}/other@v1"}, "org/model", f"{BOB}/other@v1"),
        ({"org/model": f"{BOB}/other@v1"}, "org/model@v2", f"{BOB}/other@v2"),
        ({"org": str(ANN), "org/model": f"{BOB}/other"}, "org/model", f"{BOB}/other"),
    ],
)
def test_a_name_stands_for_what_the_user_said(
    ledger: MemoryLedger, names: dict[str, str], asked: str, meant: str
) -> None:
    for alias, target in names.items():
        ledger.name(alias, target)
    assert OwnNames(ledger).mapped(parse_reference(asked)) == parse_reference(meant)


def test_what_is_published_here_answers_to_its_name_alone(ledger: MemoryLedger) -> None:
    publish(ledger, "mine")
    assert OwnNames(ledger).name_of("mine") == (ANN, "mine", "main")


def test_of_two_publishers_of_one_home_neither_answers_to_a_name_alone(ledger: MemoryLedger) -> None:
    publish(ledger, "mine")
    publish(ledger, "mine", publisher=BOB)
    with pytest.raises(NotFound, match="nothing here is called 'mine'"):
        OwnNames(ledger).name_of("mine")


@covers("T20")
@pytest.mark.parametrize("asked", ["meta-llama/Llama-3", "llama"])
def test_nobody_else_answers_to_a_name_without_a_key(ledger: MemoryLedger, asked: str) -> None:
    publish(ledger, "mine")
    with pytest.raises(NotFound):
        OwnNames(ledger).mapped(parse_reference(asked))


@pytest.mark.parametrize(
    ("alias", "target"),
    [
        ("bob@v1", str(BOB)),  # A tag is no part of a name of one's own.
        (f"{ANN}/model", f"{BOB}/model"),
        ("bob", "model"),  # A name of a name.
        ("org/model", str(BOB)),  # A repository is no publisher.
        ("org/model", "org/other"),
    ],
)
def test_what_cannot_be_a_name_or_stand_for_one_is_refused(ledger: MemoryLedger, alias: str, target: str) -> None:
    with pytest.raises(UsageError):
        OwnNames(ledger).check_name(alias, target)

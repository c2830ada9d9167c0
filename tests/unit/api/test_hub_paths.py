"""Paths are the caller's: whoever carries a verb out may work in another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import p2phub
from p2phub.api.fetching import default_folder
from p2phub.api.hub import Hub
from p2phub.content import Codec, digest_of
from p2phub.errors import UsageError
from p2phub.manifest import Ticket, encode_ticket
from p2phub.node import load_config
from tests.support.recorded import Recorded


async def test_a_folder_to_forget_or_verify_is_told_whole_to_a_daemon_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verbs = Recorded()
    hub = Hub(verbs, load_config(home=tmp_path / "home"))
    await hub.remove("models/one")
    await hub.verify("./models/../models/one")
    assert verbs.asked["remove"] == {"ref": "models/one", "folder": str(tmp_path / "models/one")}
    assert verbs.asked["verify"] == {"ref": "./models/../models/one", "folder": str(tmp_path / "models/one")}


async def test_a_name_is_told_where_the_working_folder_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    verbs = Recorded()
    hub = Hub(verbs, load_config(home=tmp_path / "home"))
    gone.rmdir()
    await hub.remove("alice/model")
    assert verbs.asked["remove"] == {"ref": "alice/model", "folder": None}


def test_where_a_ticket_tells_no_name_its_folder_is_named_after_the_digest() -> None:
    digest = digest_of(b"manifest")
    text = digest.text(Codec.MSGPACK)[:16]
    assert default_folder(encode_ticket(Ticket(digest, None, ()))) == text
    assert default_folder(digest.text(Codec.MSGPACK)) == text


async def test_an_empty_folder_is_refused_and_not_taken_for_this_one(tmp_path: Path) -> None:
    hub = Hub(Recorded(), load_config(home=tmp_path / "home"))
    with pytest.raises(UsageError, match="the name of a folder is empty"):
        await hub.fetch("alice/model", into="")
    with pytest.raises(UsageError, match="the name of a folder is empty"):
        await hub.publish("", name="model")


def test_arguments_that_make_no_sense_are_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no argument 'boostrap'; do you mean 'bootstrap'"):
        p2phub.fetch("alice/model", boostrap=[], home=tmp_path)  # type: ignore[call-arg]
    for verb in (p2phub.fetch, p2phub.info, p2phub.verify, p2phub.pin, p2phub.unpin):
        with pytest.raises(p2phub.UsageError, match="ref is to be a text, not None"):
            verb(None, home=tmp_path)  # type: ignore[operator]

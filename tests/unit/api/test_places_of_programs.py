"""Where other programs keep what they have is looked up by whoever asks, and what may not be looked at ends nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from p2phub.api import programs
from p2phub.api.hub import Hub
from p2phub.errors import UsageError
from p2phub.node import load_config
from tests.support.recorded import Recorded


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Ollama keeps its models, which is below the home of a user whose files are not ours to see."""
    models = tmp_path / "service" / "models"
    models.mkdir(parents=True)
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "LLAMA_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("OLLAMA_MODELS", str(models))
    real = os.stat

    def refuse(path: Any, **options: Any) -> os.stat_result:
        if not isinstance(path, int) and Path(path).is_relative_to(models):
            raise PermissionError(13, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    return models


@pytest.mark.parametrize("named", [(), ("ollama",)])
async def test_a_cache_that_may_not_be_looked_at_is_left_to_the_scan_which_says_so(
    named: tuple[str, ...], ollama: Path, tmp_path: Path
) -> None:
    verbs = Recorded()
    hub = Hub(verbs, load_config(home=tmp_path / "home"))
    await hub.adopt(*named)
    assert verbs.asked["adopt"]["places"] == [["ollama", str(ollama)]]
    await hub.adopt(ollama / "below")
    assert verbs.asked["adopt"]["places"] == [["any", str(ollama / "below")]]


def test_nothing_is_given_to_a_program_by_way_of_a_place_that_may_not_be_looked_at(ollama: Path) -> None:
    assert programs._place_of("ollama") == ollama  # The only one: whoever writes there says what is wrong.


async def test_a_cache_that_is_not_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "none"))
    (tmp_path / "file").touch()
    hub = Hub(Recorded(), load_config(home=tmp_path / "home"))
    for named in ("ollama", tmp_path / "none", tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"no (cache|folder)"):
            await hub.adopt(named)


@pytest.mark.parametrize(
    ("program", "name"),
    [("ollama", "gg"), ("ollama", "a/b c"), ("hf-cache", "a/b/c"), ("hf-cache", "a--b")],
)
async def test_a_name_that_the_program_would_not_take_is_refused_before_anybody_is_asked(
    program: str, name: str, tmp_path: Path
) -> None:
    verbs = Recorded()
    with pytest.raises(UsageError, match="cannot be"):
        await Hub(verbs, load_config(home=tmp_path / "home")).give("x/m", program, name=name, place=tmp_path)
    assert verbs.asked == {}

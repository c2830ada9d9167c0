"""A name means what it says of what was found: one cache's models, all commits or one, and never more."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.engine.meant import meant
from p2phub.errors import UsageError
from p2phub.store.caches import CachedModel
from tests.support.hub_cache import COMMIT, OTHER_COMMIT


def model(cache: str, name: str, revision: str | None = None) -> CachedModel:
    return CachedModel(cache, name, revision, Path("/somewhere"), (), (), complete=False, left_out=())


MODELS = (
    model("hf", "org/name", COMMIT),
    model("hf", "org/name", OTHER_COMMIT),
    model("hf", "org/both", COMMIT),
    model("lmstudio", "org/both"),
    model("ollama", "registry.ollama.ai/library/llama3:8b"),
    model("folder", "/models/hf:a@b"),
    model("folder", "/models/x@1234567"),
)


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("org/name", {0, 1}),
        ("hf:org/name", {0, 1}),
        (f"hf:org/name@{COMMIT}", {0}),
        (f"hf:org/name@{OTHER_COMMIT[:7]}", {1}),
        (f"org/name@{COMMIT[:12]}", {0}),
        ("hf:org/both", {2}),
        ("lmstudio:org/both", {3}),
        (f"org/both@{COMMIT}", {2}),
        ("registry.ollama.ai/library/llama3:8b", {4}),
        ("ollama:registry.ollama.ai/library/llama3:8b", {4}),
        ("/models/hf:a@b", {5}),
        ("folder:/models/x@1234567", {6}),
        ("all", set(range(7))),
    ],
)
def test_a_name_means_models_of_one_cache(name: str, means: set[int]) -> None:
    assert meant(MODELS, [name]) == means


@pytest.mark.parametrize(
    "name",
    [
        "org",
        "lmstudio:org/name",
        f"lmstudio:org/both@{COMMIT}",
        "hf:org/name@",
        f"hf:org/name@{COMMIT[:6]}",
        f"hf:org/name@{COMMIT}0",
        "hf:org/name@main",
        "hf:all",
        "",
    ],
)
def test_a_name_that_nothing_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not among what was found"):
        meant(MODELS, ["org/name", name])


def test_a_name_of_several_caches_is_refused_with_what_to_say() -> None:
    with pytest.raises(UsageError, match="org/both was found in several caches: hf, lmstudio") as refused:
        meant(MODELS, ["org/both"])
    assert refused.value.hint == "say which: --announce hf:org/both, or --announce lmstudio:org/both"
    assert meant(MODELS, ["hf:org/both", "lmstudio:org/both"]) == {2, 3}


def test_nothing_named_is_nothing_meant() -> None:
    assert meant(MODELS, []) == frozenset()

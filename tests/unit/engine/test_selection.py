"""What looks like a secret is published only if it is named."""

from __future__ import annotations

import pytest

from p2phub.engine.selection import Selection


@pytest.mark.parametrize(
    "path",
    [".env", "a/.env.local", "SERVER.PEM", "keys/ID_RSA", ".git/config", "a/.git/logs/HEAD", ".ssh/config", ".Git/a"],
)
def test_what_looks_like_a_secret_is_one_wherever_it_stands_and_however_it_is_written(path: str) -> None:
    assert Selection().secret(path)
    assert not Selection(include=[path]).secret(path)


@pytest.mark.parametrize("path", ["config.json", "model.env.json", "git/config", "tokenizer.json", ".gitattributes"])
def test_what_models_have_is_no_secret(path: str) -> None:
    assert not Selection().secret(path)

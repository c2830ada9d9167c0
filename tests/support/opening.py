"""See which files the code under test opens."""

from __future__ import annotations

import os

import pytest


def names_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every name that `os.open` is called with from now on is added."""
    opened: list[str] = []
    really_open = os.open

    def spying(name: str, *how: int, **where: int) -> int:
        opened.append(os.fspath(name))
        return really_open(name, *how, **where)

    monkeypatch.setattr(os, "open", spying)
    return opened

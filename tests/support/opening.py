"""See which files the code under test opens, and which it leaves open."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def all_closed_again() -> Iterator[None]:
    """Assert that the same descriptors are open at the end as at the start, without waiting for the collector."""
    gc.collect()  # What waits to be collected since whatever ran before could go at any moment.
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before, "descriptors are left"

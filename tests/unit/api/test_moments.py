"""What a release says of when it was made becomes a date, whatever it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from p2phub.api.moments import moment_of
from p2phub.filesystem.system import P2phubFileSystem
from tests.support.covers import covers


@pytest.mark.parametrize(
    ("unix_s", "told"),
    [(None, "1970"), (0, "1970"), (1_800_000_000, "2027"), (253_402_300_800, "9999"), (1 << 40, "9999")],
)
def test_what_is_beyond_all_dates_is_the_last_of_them(unix_s: int | None, told: str) -> None:
    assert moment_of(unix_s).isoformat().startswith(told)


@covers("T52")
def test_a_version_of_a_year_that_no_date_has_is_told_of_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket's release is not held against the clock. What reads dates of a file system met a ValueError."""
    far: Any = SimpleNamespace(created=(1 << 40) - 2)
    monkeypatch.setattr(P2phubFileSystem, "_version", lambda *_: far)
    monkeypatch.setattr(P2phubFileSystem, "info", lambda *_: {})
    system = P2phubFileSystem(skip_instance_cache=True)
    assert system.created("a/b/file").year == system.modified("a/b/file").year == 9999

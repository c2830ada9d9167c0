"""Files are hashed again in threads, and without them where there can be none."""

from __future__ import annotations

from concurrent.futures import thread
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.store.rehash import PART_CHUNKS, matching_chunks
from tests.support.content import content_of, random_files

CHUNKS = 3 * PART_CHUNKS  # Enough for more than one thread.


def test_a_program_that_ends_still_finds_what_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python begins no thread then, and what a fetch leaves behind is put in order all the same."""
    content = content_of(random_files(1, model=100 * CHUNKS), 100)
    (data,) = content.files.values()
    (tmp_path / "model").write_bytes(data)
    monkeypatch.setattr(thread, "_shutdown", True)
    everything = RangeSet.whole(CHUNKS)
    with (tmp_path / "model").open("rb") as file:
        assert matching_chunks(content.table, [(file.fileno(), everything)]) == everything

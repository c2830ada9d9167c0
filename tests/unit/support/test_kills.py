"""What reads back a home's claims sees a wrong byte, and a file that is gone or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.content import content_of
from tests.support.kills import read_claims, signed_digests
from tests.support.models import tree_digest
from tests.support.stores import DiskScene, hashed, hold, put_all

RIGHT = content_of({"a.bin": b"a" * 5000, "b.bin": b"b" * 3000}, 1000)
WRONG = content_of({"a.bin": b"a" * 4999 + b"x", "b.bin": b"b" * 3000}, 1000)


def test_all_that_is_claimed_is_counted(tmp_path: Path) -> None:
    home = held(tmp_path)
    assert read_claims(home) == 8000
    assert signed_digests(home) == tree_digest(tmp_path / "out")


def test_a_claimed_byte_that_is_wrong_is_seen_whatever_is_excused(tmp_path: Path) -> None:
    scene = DiskScene(tmp_path)
    put_all(scene, WRONG)
    scene.store.put_blobs(list(RIGHT.blobs.values()))
    scene.store.hold(RIGHT.manifest, RIGHT.root, scene.folder, hashed(scene, RIGHT))
    scene.store.close()
    with pytest.raises(AssertionError, match=r"chunk 4 .* is wrong"):
        read_claims(scene.home, whole=False)


def test_a_claimed_file_that_is_gone_or_changed_is_seen_unless_that_is_excused(tmp_path: Path) -> None:
    home = held(tmp_path)
    (tmp_path / "out" / "a.bin").write_bytes(b"y" * 5000)
    (tmp_path / "out" / "b.bin").unlink()
    assert read_claims(home, whole=False) == 0
    with pytest.raises(AssertionError, match="cannot be read"):
        read_claims(home)


def held(tmp_path: Path) -> Path:
    """Return the home of a store that holds RIGHT."""
    scene = DiskScene(tmp_path)
    hold(scene, RIGHT)
    scene.store.close()
    return scene.home

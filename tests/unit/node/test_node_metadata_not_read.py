"""The lists of a node of which the disk does not let us read one file of metadata."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import parse_digest
from p2phub.errors import DiskError
from tests.support.covers import covers
from tests.support.verbs import Scene, publish


@covers("F03")
async def test_one_that_cannot_be_described_hides_nothing_and_can_be_forgotten(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await publish(scene, tmp_path / "good", name="good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "more.bin").write_bytes(b"m" * 10)
    bad = await publish(scene, tmp_path / "bad", name="bad")
    name, really = parse_digest(bad["manifest"])[0].raw.hex(), os.open

    def fail(path: Any, *args: Any, **named: Any) -> int:
        if path == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return really(path, *args, **named)

    scene.real_store._holdings.manifests._tables.clear()  # As in a process that has read nothing yet.
    monkeypatch.setattr(os, "open", fail)
    found = {each["manifest"]: each for each in (await scene.call("ls"))["items"]}
    assert found.keys() == {good["manifest"], bad["manifest"]}
    assert found[good["manifest"]]["problem"] is None
    assert "input/output error" in found[bad["manifest"]]["problem"]
    assert found[bad["manifest"]]["references"] == [bad["reference"]]
    [alone] = (await scene.call("ls", manifest=bad["manifest"]))["items"]
    assert alone["problem"] == found[bad["manifest"]]["problem"]
    assert len((await scene.call("du"))["items"]) == 2
    assert {each["name"].rpartition("/")[2] for each in (await scene.call("search", words=""))["items"]} == {
        "good",
        "bad",
    }
    with pytest.raises(DiskError, match="input/output error"):
        await scene.call("verify", ref=bad["reference"])
    await scene.call("verify", ref=good["reference"])
    await scene.call("remove", ref=bad["reference"])
    assert [each["manifest"] for each in (await scene.call("ls"))["items"]] == [good["manifest"]]

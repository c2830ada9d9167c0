"""What the store did is judged by medians; what failed owes its figures, what was skipped does not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from benchmarks.alone import Alone
from benchmarks.options import parse
from benchmarks.plan import HELD, STORE
from benchmarks.store import Measured, Stored, changed, reflink, reuse
from benchmarks.store.models import model_of, write_hollow
from benchmarks.targets import Verdict, judge


def verdict(stored: Stored, words: str) -> Verdict:
    [found] = [one for one in judge({}, {}, Alone(), {}, stored) if words in f"{one.of}: {one.what}"]
    return found


def test_a_copy_is_held_against_cp_by_medians_of_one_run() -> None:
    seconds = {
        reuse.COPIED: [2.0, 9.0, 1.0],
        reuse.CP_COPIED: [1.5, 1.5, 7.0],
        reuse.SYNCED: [4.0],
        reuse.CP_SYNCED: [2.0],
    }
    stored = {"reuse": Measured("a copy", seconds)}
    assert (verdict(stored, "copied").measured, verdict(stored, "copied").met) == ("0.75", True)
    assert (verdict(stored, "synced").measured, verdict(stored, "synced").met) == ("0.5", False)


def test_a_bound_holds_for_the_median() -> None:
    stored = {"changed": Measured("other forms", {changed.TUNED: [1.4, 1.5, 9.0], changed.SINGLE: [0.6]})}
    assert verdict(stored, changed.TUNED).met is True
    assert verdict(stored, changed.SINGLE).met is False


def test_constant_time_is_judged_on_each_file_system_that_was_there() -> None:
    figures = {reflink.large("xfs"): [1.6], reflink.small("xfs"): [1.0], reflink.taken("xfs"): [0.1]}
    stored = {"reflink": Measured("blocks are shared", figures, skipped=["btrfs: no such program"])}
    found = [one for one in judge({}, {}, Alone(), {}, stored) if one.of == "blocks are shared"]
    assert [(one.measured, one.met) for one in found] == [("1.6", False), ("0.1", True), (None, None), (None, None)]


def test_what_failed_owes_its_figures_and_meets_nothing() -> None:
    broken = Measured("other forms", {changed.TUNED: [1.0]}, failures=["it hung"])
    assert (verdict({"changed": broken}, changed.TUNED).measured, verdict({"changed": broken}, changed.TUNED).met) == (
        "1, 1 failed",
        False,
    )
    assert verdict({"changed": broken}, changed.SINGLE).met is False


def test_a_group_stands_for_all_of_its_races() -> None:
    assert parse(["--races", "cold,store"], description=None).races == ("cold", *STORE, HELD)
    with pytest.raises(SystemExit):
        parse(["--races", "stores"], description=None)


def test_a_tuned_model_differs_in_its_share_of_each_shard() -> None:
    model = model_of(40, 40 * 10 * 64)
    other = model.tuned(4, 0.01)
    for names in model.names(4):
        assert sum(model.seeds[name] != other.seeds[name] for name in names) == 1


def test_a_tensor_has_the_same_bytes_in_whatever_shard_it_stands(tmp_path: Path) -> None:
    model = model_of(2, 20 * 64)
    found = [tensors(model.write(tmp_path / str(shards), shards=shards)) for shards in (1, 3)]
    assert found[0] == found[1]
    assert len(set(found[0].values())) == 20


def test_a_hollow_file_is_as_long_as_its_header_says_and_takes_no_room(tmp_path: Path) -> None:
    folder = write_hollow(tmp_path / "model", shards=2, shard_bytes=10**12, tensors=10)
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            [length] = struct.unpack("<Q", file.read(8))
            ends = [each["data_offsets"][1] for each in json.loads(file.read(length)).values()]
        assert path.stat().st_size == 8 + length + max(ends)
        assert path.stat().st_blocks * 512 < 10**6


def tensors(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in folder.glob("*.safetensors"):
        data = path.read_bytes()
        [length] = struct.unpack_from("<Q", data)
        for name, each in json.loads(data[8 : 8 + length]).items():
            start, stop = each["data_offsets"]
            found[name] = data[8 + length + start : 8 + length + stop]
    return found

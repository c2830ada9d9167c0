"""Payloads are made once, from a seed, and are compared without a requester's own notes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.payload import make_dataset, read_tree


def test_a_dataset_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    here = make_dataset("small", files=30, cache=tmp_path / "here")
    there = make_dataset("small", files=30, cache=tmp_path / "there")
    assert here.files == there.files
    assert all(4 << 10 <= file.size <= 64 << 10 for file in here.files)


def test_a_dataset_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    made = make_dataset("small", files=3, cache=tmp_path)
    made.record.unlink()
    (made.root / made.files[0].path).write_bytes(b"half")
    assert make_dataset("small", files=3, cache=tmp_path).files == made.files


def test_notes_of_requesters_are_not_compared(tmp_path: Path) -> None:
    for name in ("file", ".p2phub/note", "sub/.cache/huggingface/note"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [file.path for file in read_tree(tmp_path)] == ["file"]

"""A gibibyte from five providers of 20 MB/s each, of which four go wrong before a quarter is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.covers import covers
from tests.support.five_providers import five_providers
from tests.support.models import make_safetensors_folder, tree_digest

pytestmark = pytest.mark.endurance
LEFT = 20e6 + 0.1e6
"""Bytes a second that the honest and the slow one may still send."""


@covers("T33", "T35", "F11")
def test_what_is_left_of_five_providers_is_used_to_four_fifths_and_each_fault_is_named(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 1 << 30, files=4)
    with five_providers(tmp_path, model, cap="20MB") as five:
        five.start_fetch(tmp_path / "out")
        five.break_four(slow="100KB")
        named = five.explained()
        done, rate = five.finish()
    total, received = five.published["bytes"], done["bytes_received"]
    print(f"the faults came when {five.mark[1] / total:.2f} was done; {received - total} bytes came in vain")
    print(f"{rate / 1e6:.2f} MB/s after them, {rate / LEFT:.2f} of what was left")
    print("\n".join(f"{name}: {state}" for name, state in named.items()))
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert five.mark[1] < total / 4  # 0.04 on a quiet machine; on a very busy one `limit` takes seconds to start.
    assert rate >= 0.8 * LEFT
    shutil.rmtree(tmp_path)

"""Five capped providers: one is killed, one frozen, one lies, one turns slow. The fetch ends right and names each."""

from __future__ import annotations

from pathlib import Path

from tests.support.covers import covers
from tests.support.five_providers import five_providers
from tests.support.models import make_safetensors_folder, tree_digest


@covers("T33", "T35", "F11")
def test_four_of_five_providers_go_wrong_and_each_fault_is_named(tmp_path: Path) -> None:
    """The honest one is held back until all faults have been named, so that the fetch cannot end before."""
    model = make_safetensors_folder(tmp_path / "model", 64 << 20, files=3)
    with five_providers(tmp_path, model, cap="1500KB") as five:
        five.start_fetch(tmp_path / "out")
        five.break_four(slow="100KB", hold_honest="200KB")
        named = five.explained()
        five.limit("honest", "none")
        done, _ = five.finish()
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert named.keys() == {"killed", "frozen", "liar", "slow"}
    assert done["bytes_received"] < 1.5 * five.published["bytes"]

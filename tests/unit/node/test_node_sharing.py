"""What a fetch of a public release may give on, where the same was kept to ourselves before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from p2phub.node.compose import Parts
from p2phub.node.verbs import fetching
from p2phub.store import Origin
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.content import content_of
from tests.support.stores import MemoryScene, hashed, put_all

CONTENT = content_of({"model.bin": b"m" * 300})


CASES = {"adopted": (Origin.ADOPTED, True), "fetched": (Origin.FETCHED, False), "new": (None, False)}


@pytest.mark.parametrize(("origin", "stays"), CASES.values(), ids=CASES)
def test_a_public_release_opens_what_was_fetched_before_but_not_what_was_adopted(
    origin: Origin | None, stays: bool
) -> None:
    scene, ledger = MemoryScene(), MemoryLedger()
    put_all(scene, CONTENT)
    if origin is not None:
        folder = Path("/nowhere/out")
        scene.store.hold(CONTENT.manifest, CONTENT.root, folder, hashed(scene, CONTENT), origin=origin)
    ledger.withhold(CONTENT.root, withheld=True)
    fetching._share(cast(Parts, SimpleNamespace(store=scene.store, ledger=ledger)), CONTENT.root)
    assert (CONTENT.root in ledger.withheld()) is stays

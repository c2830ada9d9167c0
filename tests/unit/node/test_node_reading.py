"""What is asked about a model while whoever opens it still finds out what it has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from p2phub.content import Codec, digest_of
from p2phub.errors import NotFound
from p2phub.node.reading import Reading
from p2phub.node.verbs.reading import read_range, standing, want_ranges

MANIFEST = digest_of(b"a manifest")


async def test_a_model_that_is_not_open_yet_is_not_open() -> None:
    """Not an error in the node, which a command could fill its log with."""
    node: Any = SimpleNamespace(readings={})
    wanted: Any = SimpleNamespace(resolved=SimpleNamespace(manifest=MANIFEST))
    node.readings[MANIFEST] = Reading(node, wanted)
    asked = {"manifest": MANIFEST.text(Codec.MSGPACK), "path": "file"}
    with pytest.raises(NotFound, match="is not open"):
        await standing(node, lambda event: None, **asked)
    with pytest.raises(NotFound, match="is not open"):
        await read_range(node, lambda event: None, **asked, start=0, stop=1)
    with pytest.raises(NotFound, match="is not open"):
        await want_ranges(node, lambda event: None, **asked, ranges=[[0, 1]])

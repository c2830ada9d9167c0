"""The hub is put together of parts: each verb stands in one of them, and all that a node can do is asked by one."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter

from p2phub.api.hub import Hub
from p2phub.api.verbs import HubPart
from p2phub.node.verbs import ROOM_OF


def parts() -> list[type[HubPart]]:
    return [part for part in Hub.__mro__ if issubclass(part, HubPart) and part is not HubPart]


def asked(part: type[HubPart]) -> list[str]:
    """Return which verbs a part has carried out: what its file passes to `self._verbs.call`, itself or by `_call`."""
    tree = ast.parse(inspect.getsource(sys.modules[part.__module__]))
    return [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("self._verbs.call", "self._call")
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    ]


def test_no_part_hides_a_verb_of_another() -> None:
    defined = Counter(name for part in parts() for name in vars(part) if not name.startswith("_"))
    assert defined["fetch"] == 1
    assert [name for name, times in defined.items() if times > 1] == []


def test_every_verb_of_a_node_is_asked_by_one_part() -> None:
    assert sorted(verb for part in parts() for verb in asked(part)) == sorted(ROOM_OF)

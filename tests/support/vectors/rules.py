"""Which rules the code can name: what calls of Malformed("…") and NotTrusted(rule="…") say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "p2phub"
ROOMS = ("content", "formats", "identity", "manifest")


def rules_of_rooms() -> set[str]:
    """Return the rules of the rooms whose vectors stand in identifiers, manifest, mirror and release."""
    return {
        rule for room in ROOMS for file in (PACKAGE / room).glob("*.py") for rule in _rules_in(file.read_text("utf-8"))
    }


def rules_of_mirrors() -> set[str]:
    """Return those by which the answer of a mirror is refused. No vector has them: it takes a server to break them."""
    return set(re.findall(r"\[(mirror-[a-z]+)\]", (PACKAGE / "net" / "mirror_http.py").read_text("utf-8")))


def _rules_in(source: str) -> set[str]:
    rules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == "Malformed":
            rules.add(ast.literal_eval(node.args[0]))
        if node.func.id == "NotTrusted":
            rules.add(next(ast.literal_eval(word.value) for word in node.keywords if word.arg == "rule"))
    return rules

"""The specifications' worked examples are true, and their tables name the rules that the code knows, and no others."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.vectors.rules import rules_of_mirrors, rules_of_rooms
from tests.support.vectors.run import OPERATIONS

PROTO = Path(__file__).parents[2] / "proto"
PAGES = ("identifiers.md", "manifest.md", "release.md")
WITH_RULES = (*PAGES, "mirror.md")
EXAMPLE = re.compile(r"(?:```hex\n(?P<hex>.*?)```\n+)?```json\n(?P<json>.*?)```", re.DOTALL)


def examples() -> list[Any]:
    found = []
    for page in PAGES:
        for match in EXAMPLE.finditer((PROTO / page).read_text("utf-8")):
            example = json.loads(match["json"])
            name = f"{page}: {example['operation']}"
            found.append(pytest.param(match["hex"], example, id=name))
    return found


@pytest.mark.parametrize(("dump", "example"), examples())
def test_worked_example(dump: str | None, example: dict[str, Any]) -> None:
    if dump is not None:
        data = bytes.fromhex("".join(line.partition("#")[0] for line in dump.splitlines()))
        if "base32" in example:
            example[example["base32"]] = "p2phub:" + base64.b32encode(data).decode().rstrip("=").lower()
        else:
            field = example.get("hex", "bytes")
            example[field] = [data.hex()] if field == "blobs" else data.hex()
    found = OPERATIONS[example["operation"]](example)
    assert {name: found[name] for name in example["gives"]} == example["gives"]


def test_every_hex_dump_is_checked() -> None:
    for page in PAGES:
        text = (PROTO / page).read_text("utf-8")
        checked = sum(match["hex"] is not None for match in EXAMPLE.finditer(text))
        assert checked == text.count("```hex\n") > 0


def test_tables_name_the_rules_that_the_code_knows() -> None:
    named: set[str] = set()
    for page in WITH_RULES:
        for table in re.findall(r"\| rule \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", (PROTO / page).read_text("utf-8")):
            for row in table.splitlines():
                named |= set(re.findall(r"`([a-z0-9-]+)`", row.split("|")[1]))
    assert named == (rules_of_rooms() | rules_of_mirrors()) - {"release-name"}
    assert "`release-name`" in (PROTO / "release.md").read_text("utf-8")

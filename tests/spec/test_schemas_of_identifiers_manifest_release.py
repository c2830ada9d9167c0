"""The machine-readable schemas say what the decoders do: good vectors obey them, and those bad in shape do not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import unpack
from p2phub.errors import Malformed
from tests.support.json_schema import faults
from tests.support.vectors.build import VECTORS
from tests.support.vectors.run import read_bytes
from tests.support.vectors.write import texts

PROTO = Path(__file__).parents[2] / "proto"
SCHEMAS = {
    "open-envelope": ("identifiers", "envelope"),
    "parse-ticket": ("identifiers", "ticket"),
    "decode-manifest": ("manifest", "root"),
    "decode-layout": ("manifest", "layout"),
    "read-release": ("release", "release"),
}
SHAPE_RULES = {
    "chunk-total",
    "digest-length",
    "field-missing",
    "field-range",
    "field-type",
    "file-sha256",
    "file-size",
    "layout-span",
    "manifest-entry",
    "manifest-pages",
    "name",
    "record-critical",
    "record-kind",
    "record-version",
    "release-kind",
    "release-parents",
    "release-private",
    "ticket-provider",
}
# Rules of shape that a schema cannot say, or that depend on what is outside the message.
BEYOND_A_SCHEMA = {
    "a payload over its bound",
    "a provider twice",
    "a provider twice, one between",
    "an address twice",
    "a header behind the end",
    "a span behind the end",
    "a tag that reads as a digest",
}


def as_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"$hex": value.hex()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def message_of(operation: str, case: dict[str, Any]) -> object:
    """Return the message of a vector as JSON. Raises Malformed if it is no canonical msgpack."""
    if operation == "parse-ticket":
        body = case["text"].removeprefix("p2phub:").upper()
        return as_json(unpack(base64.b32decode(body + "=" * (-len(body) % 8))))
    message = unpack(read_bytes(case["root" if operation == "decode-manifest" else "bytes"]))
    if operation == "read-release" and isinstance(message, list):
        message = unpack(message[2]["payload"])
    return as_json(message)


def cases() -> list[Any]:
    found = []
    for path in texts():
        for group in json.loads((VECTORS / path).read_text("utf-8"))["groups"]:
            if group["operation"] in SCHEMAS:
                found += [
                    pytest.param(group["operation"], case, id=f"{group['operation']}: {case['says']}")
                    for case in group["cases"]
                    if "gives" in case or (case["breaks"] in SHAPE_RULES and case["says"] not in BEYOND_A_SCHEMA)
                ]
    return found


@pytest.mark.parametrize(("operation", "case"), cases())
def test_schema_agrees_with_vector(operation: str, case: dict[str, Any]) -> None:
    file, name = SCHEMAS[operation]
    schema = json.loads((PROTO / f"{file}.schema.json").read_text("utf-8"))
    found = faults(message_of(operation, case), schema["$defs"][name], schema)
    assert bool(found) == ("breaks" in case), found


def test_pages_of_the_vectors_obey_their_schema() -> None:
    schema = json.loads((PROTO / "manifest.schema.json").read_text("utf-8"))
    groups = json.loads((VECTORS / "manifest/manifests.json").read_text("utf-8"))["groups"]
    pages = [page for case in groups[0]["cases"] if "gives" in case for page in case["pages"]]
    assert pages
    for page in pages:
        assert not faults(as_json(unpack(read_bytes(page))), schema["$defs"]["page"], schema)


def test_vectors_outside_the_schemas_are_not_msgpack_or_break_a_rule_of_meaning() -> None:
    """Each case that is not checked above is either listed, or broken in what no schema speaks of."""
    listed = {case.values[1]["says"] for case in cases()} | BEYOND_A_SCHEMA
    for path in texts():
        for group in json.loads((VECTORS / path).read_text("utf-8"))["groups"]:
            for case in group["cases"]:
                if group["operation"] in SCHEMAS and case["says"] not in listed:
                    assert case["breaks"] not in SHAPE_RULES


def test_a_message_that_is_not_canonical_has_no_json_form() -> None:
    with pytest.raises(Malformed):
        message_of("open-envelope", {"bytes": "c0"})

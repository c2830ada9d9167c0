"""Check a value against a JSON Schema, for the keywords that proto/*.schema.json use; any other keyword is an error.

Source: JSON Schema draft 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
}
_SAYS_NOTHING = {"$schema", "$id", "$defs", "title", "description"}


def faults(value: object, schema: Mapping[str, Any] | bool, root: Mapping[str, Any], at: str = "$") -> list[str]:
    """Return what is wrong with `value`, where; nothing if it obeys `schema`. `root` is where references begin."""
    if isinstance(schema, bool):
        return [] if schema else [f"{at}: must not be"]
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword in _SAYS_NOTHING or keyword in ("items", "additionalProperties"):
            continue
        match keyword:
            case "$ref":
                found += faults(value, root["$defs"][rule.removeprefix("#/$defs/")], root, at)
            case "type":
                kinds = _TYPES[rule]
                if not isinstance(value, kinds) or (isinstance(value, bool) and rule != "boolean"):
                    found.append(f"{at}: not {rule}")
            case "const":
                if value != rule or type(value) is not type(rule):
                    found.append(f"{at}: not {rule!r}")
            case "enum":
                if value not in rule:
                    found.append(f"{at}: none of {rule}")
            case "minimum" | "maximum":
                if isinstance(value, int) and (value < rule if keyword == "minimum" else value > rule):
                    found.append(f"{at}: {keyword} {rule}")
            case "minLength" | "maxLength":
                if isinstance(value, str) and (len(value) < rule if keyword == "minLength" else len(value) > rule):
                    found.append(f"{at}: {keyword} {rule}")
            case "minItems" | "maxItems":
                if isinstance(value, list) and (len(value) < rule if keyword == "minItems" else len(value) > rule):
                    found.append(f"{at}: {keyword} {rule}")
            case "pattern":
                if isinstance(value, str) and not re.search(rule, value):
                    found.append(f"{at}: does not match {rule}")
            case "required":
                if isinstance(value, dict):
                    found += [f"{at}: no {name}" for name in rule if name not in value]
            case "properties":
                if isinstance(value, dict):
                    for name, inner in rule.items():
                        if name in value:
                            found += faults(value[name], inner, root, f"{at}.{name}")
            case "prefixItems":
                if isinstance(value, list):
                    for index, (item, inner) in enumerate(zip(value, rule, strict=False)):
                        found += faults(item, inner, root, f"{at}[{index}]")
            case "oneOf":
                if sum(not faults(value, inner, root, at) for inner in rule) != 1:
                    found.append(f"{at}: not one of {len(rule)} forms")
            case _:
                raise ValueError(f"unknown keyword {keyword}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value[len(schema.get("prefixItems", ())) :]):
            found += faults(item, schema["items"], root, f"{at}[{index}]")
    if isinstance(value, dict) and "additionalProperties" in schema:
        for name in value.keys() - schema.get("properties", {}).keys():
            found += faults(value[name], schema["additionalProperties"], root, f"{at}.{name}")
    return found

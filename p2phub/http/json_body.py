"""The JSON that is told to clients. Pure.

JSON is text, and not all that a node tells is: a folder on a disk may have a name that is not UTF-8, and errors name
it. What of it is no text is escaped, as it is shown on a terminal; else nothing of the answer could be told.
"""

from __future__ import annotations

from typing import Any

import msgspec


def json_body(told: object) -> bytes:
    """Return what JSON can have (dicts, lists, texts, numbers, True, False, None) as JSON, in UTF-8."""
    try:
        return msgspec.json.encode(told)
    except UnicodeEncodeError:  # Seldom, so that nobody else pays for a look.
        return msgspec.json.encode(_as_text(told))


def _as_text(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_as_text(name): _as_text(each) for name, each in value.items()}
        case list() | tuple():
            return [_as_text(each) for each in value]
    return value

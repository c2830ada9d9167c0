"""The target of a request, taken apart: the parts of its path, and what stands behind the question mark. Pure.

A path is split before it is decoded, so that an encoded `/` splits nothing, and each part is decoded once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from p2phub import limits
from p2phub.http.refusal import Refusal

_NUMBER = re.compile(r"[0-9]{1,10}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def split_target(target: str) -> tuple[list[str], str]:
    """Return the decoded parts of the path (of "/": one, empty) and the query as it is. Raises Refusal (400), (414)."""
    path, _, query = target.partition("?")
    if not path.startswith("/") or "#" in target:
        raise Refusal(400, "a request names a path")
    if len(path) > limits.GATEWAY_TARGET_BYTES_MAX:
        raise Refusal(414, "the path is too long")
    return [decoded(part) for part in path[1:].split("/")], query


def decoded(part: str) -> str:
    """Decode one part of a path, once. Raises Refusal(400) for an escape that is none, and for what is not UTF-8."""
    if not part.isascii() or _BAD_ESCAPE.search(part):
        raise Refusal(400, "the path is not percent-encoded")
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError as exc:
        raise Refusal(400, "the path is not UTF-8") from exc


def options_of(query: str) -> list[tuple[str, str]]:
    """Return the options, decoded, in order. Raises Refusal(400) for too many of them."""
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=limits.GATEWAY_OPTIONS_MAX)
    except ValueError as exc:
        raise Refusal(400, "too many options") from exc


def number_of(options: Mapping[str, str], name: str, default: int) -> int:
    """Return an option that is a whole number; where it is not there, or empty, the default. Raises Refusal(400)."""
    text = options.get(name, "")
    if text and not _NUMBER.fullmatch(text):
        raise Refusal(400, f"{name} is no number")
    return int(text) if text else default

"""What a holding is called in a table: by its names, as far as it has any, with enough of its digest to tell it from
others of that name. All of the digest is in `--json`."""

from __future__ import annotations

from typing import Any

_END_LETTERS = 10  # Digests begin alike, as texts that say of what kind they are.
_COMMIT_LETTERS = 7


def names(item: dict[str, Any]) -> list[str]:
    """Return the references that lead to it, or what it was called where it was found."""
    found = item.get("name")  # A daemon of an older version does not tell.
    if item["references"] or found is None:
        return list(item["references"])
    revision = item.get("revision")
    return [found if revision is None else f"{found} at {revision[:_COMMIT_LETTERS]}"]


def called(item: dict[str, Any]) -> str:
    """Return the names of it; its digest where it has none."""
    return ", ".join(names(item)) or str(item["manifest"])


def with_digest(item: dict[str, Any]) -> str:
    """Return the names of it, and beside them what tells its digest from others; the whole digest where it has none."""
    return f"{', '.join(names(item))} (…{item['manifest'][-_END_LETTERS:]})" if names(item) else str(item["manifest"])

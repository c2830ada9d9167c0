"""What was found out, kept for whoever asks next: the last of it, and no more than a number."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def keep(kept: OrderedDict[Key, Value], key: Key, value: Value, *, most: int) -> None:
    """Keep a value as the last one; of all of them stay the `most` that were kept last."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)

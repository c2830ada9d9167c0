"""What was found out is kept for whoever asks next: the last of it, and no more than some."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def keep(kept: OrderedDict[Key, Value], key: Key, value: Value, *, most: int) -> None:
    """Keep a value as the last one, and no more than `most` of them."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)

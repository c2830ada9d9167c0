"""The arguments that choose a part of a manifest, of every verb that takes them."""

from __future__ import annotations

from collections.abc import Sequence

from p2phub.api.verbs import JsonObject, if_said


def selection(
    include: Sequence[str],
    exclude: Sequence[str],
    tensors: Sequence[str],
    columns: Sequence[str],
    row_groups: Sequence[str | int],
) -> JsonObject:
    """Return those that were said: none of them, and all of it is meant."""
    return if_said(
        include=list(include) or None,
        exclude=list(exclude) or None,
        tensors=list(tensors) or None,
        columns=list(columns) or None,
        row_groups=[str(each) for each in row_groups] or None,
    )

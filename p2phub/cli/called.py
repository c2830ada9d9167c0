"""What a person is told that a thing is called: by a name where one is known, never by a whole ticket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2phub import api

LENGTH_SHOWN = 76  # A ticket would fill the screen; a publisher's name is hardly longer.
TICKET = "p2phub:"


def reference_shown(reference: str) -> str:
    """Return a reference as it was given, but no more of a ticket than tells it from another."""
    return api.printable(reference, length_max=LENGTH_SHOWN)


def called(item: Mapping[str, Any]) -> str:
    """Return what to call a fetch: as it was asked for, but a bare digest, or a ticket, by a name that leads to what it
    means, if one does."""
    names, reference = item.get("references"), str(item["reference"])  # A daemon of an older version does not tell.
    is_name = reference != item.get("manifest") and not reference.startswith(TICKET)
    return str(names[0]) if names and not is_name else reference_shown(reference)


def names(item: Mapping[str, Any]) -> list[str]:
    """Return the references that lead to a holding, or did before a newer version, or what it was called where it was
    found."""
    found, before = item.get("name"), item.get("earlier")  # A daemon of an older version tells neither.
    earlier = [f"earlier {before[0]}"] if before else []
    return list(item["references"]) or earlier or ([] if found is None else [str(found)])


def with_digest(name: str | None, manifest: str) -> str:
    """Return a name with so much of the digest that it is told from another version, and the whole digest where no name
    is known."""
    return manifest if name is None else f"{name} ({digest_shown(manifest)})"


def digest_shown(manifest: str) -> str:
    return f"{manifest[:4]}…{manifest[-8:]}" if len(manifest) > 16 else manifest


def commit_shown(revision: str) -> str:
    """Return as much of a commit's digits as git shows."""
    return revision[:7]

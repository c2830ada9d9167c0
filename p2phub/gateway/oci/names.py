"""What OCI clients call a repository, who know lower case alone. Pure.

A name in lower case means the repository that is called exactly so; else the one that differs from it in case alone, if
there is exactly one: two that do are told apart by a mapping (`p2phub name add`). One that no OCI client can write, as
with two dots in a row, is not listed; it can be had by a mapping, too.
Source: OCI distribution specification 1.1, "Pulling manifests".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from p2phub.gateway.routes import Kind, RepoId

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_OCI = re.compile(rf"{_PART}(?:/{_PART})*")
_OCI_MAX = 255
_NO_ORGANISATION = "library/"  # What clients of images, and Ollama, put before a name that has none.


def readings_of(asked: RepoId) -> list[RepoId]:
    """Return what a name may mean word for word, the likelier first."""
    readings = [asked]
    if asked.name.startswith(_NO_ORGANISATION):
        readings.append(RepoId(asked.kind, asked.name.removeprefix(_NO_ORGANISATION)))
    return readings


def alike(asked: RepoId, known: Iterable[RepoId]) -> list[RepoId]:
    """Return those of `known` that a name differs from in case alone."""
    wanted = {(each.kind, each.name.lower()) for each in readings_of(asked)}
    return sorted({each for each in known if (each.kind, each.name.lower()) in wanted}, key=lambda each: each.name)


def listed(known: Iterable[RepoId]) -> list[str]:
    """Return what OCI clients call these repositories, ascending: each name leads to one of them."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for repo in known:
        prefix = "datasets/" if repo.kind is Kind.DATASET else ""
        spellings[prefix + repo.name.lower()].add(prefix + repo.name)
    return sorted(
        name
        for name, spelled in spellings.items()
        if (len(spelled) == 1 or name in spelled) and len(name) <= _OCI_MAX and _OCI.fullmatch(name)
    )

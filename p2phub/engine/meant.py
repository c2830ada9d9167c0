"""Which of the models that were found a user means by a name: whose announcing is asked for, no more and no less.

A name is that of the repository, whatever its cache; CACHE:NAME is that of one cache alone, NAME@COMMIT or
CACHE:NAME@COMMIT one commit. What one name means in two caches need not be the same model, nor come from where
everybody may have it, so such a name is refused. Its commits are of one repository: a name means all that are found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from p2phub.errors import UsageError
from p2phub.store.caches import CachedModel

ALL = "all"
"""What means whatever is found."""
COMMIT_DIGITS_MIN = 7  # As git shortens them; fewer are more likely a slip than a commit.
_SHOWN_MAX = 5


def meant(models: Sequence[CachedModel], names: Iterable[str]) -> frozenset[int]:
    """Return the numbers of those `models` that `names` mean. Raises UsageError for a name that none has, or models of
    several caches."""
    found: set[int] = set()
    unknown: list[str] = []
    for name in sorted(set(names)):
        which = [number for number, model in enumerate(models) if name == ALL or _is_meant(model, name)]
        caches = sorted({models[number].cache for number in which})
        if len(caches) > 1 and name != ALL:
            hint = "say which: " + ", or ".join(f"--announce {cache}:{name}" for cache in caches)
            raise UsageError(f"{name} was found in several caches: {', '.join(caches)}", hint=hint)
        if not which and name != ALL:
            unknown.append(name)
        found.update(which)
    if unknown:
        some = ", ".join(sorted({model.name for model in models})[:_SHOWN_MAX]) or "nothing"
        raise UsageError(f"{', '.join(unknown[:3])} is not among what was found", hint=f"found: {some}")
    return frozenset(found)


def _is_meant(model: CachedModel, name: str) -> bool:
    """Names are compared, never taken apart: those of Ollama's models have colons, and a folder may be called by any
    character."""
    if model.name in (name, name.removeprefix(f"{model.cache}:")):
        return True
    repository, _, commit = name.removeprefix(f"{model.cache}:").rpartition("@")
    if model.revision is None or repository != model.name or len(commit) < COMMIT_DIGITS_MIN:
        return False
    return model.revision.startswith(commit)

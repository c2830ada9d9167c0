"""The folders that the paths of a manifest's files make. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Folders:
    """Which names stand in each folder; "" is that of all."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._names: dict[str, dict[str, None]] = {"": {}}
        for path in paths:
            while path:
                folder, _, _ = path.rpartition("/")
                here = self._names.setdefault(folder, {})
                if path in here:
                    break
                here[path] = None
                path = folder

    def __contains__(self, path: str) -> bool:
        return path in self._names

    def names(self, folder: str) -> list[str]:
        """Return the paths of what stands in a folder, files and folders, in the order of names."""
        return sorted(self._names[folder])

    def below(self, folder: str, depth_max: int | None) -> Iterator[str]:
        """Yield the paths of all that stands below a folder, so many levels deep at most."""
        if depth_max is None or depth_max > 0:
            for path in self._names[folder]:
                yield path
                if path in self._names:
                    yield from self.below(path, None if depth_max is None else depth_max - 1)

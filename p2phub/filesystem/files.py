"""An open file: what was asked for is read by ranges, of exactly the version that was opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile

from p2phub.filesystem.ahead import Ahead
from p2phub.filesystem.faults import as_os_error
from p2phub.filesystem.paths import Place
from p2phub.filesystem.versions import Version

if TYPE_CHECKING:
    from p2phub.filesystem.system import P2phubFileSystem


class P2phubFile(AbstractBufferedFile):
    """Made by `P2phubFileSystem.open`. It can be pickled, and read after a fork; so it has nothing open itself."""

    def __init__(self, fs: P2phubFileSystem, path: str, place: Place, version: Version, **options: Any) -> None:
        self._place, self._version, self._shared = place, version, fs.shared
        options.setdefault("cache_type", Ahead.name)
        super().__init__(fs, path, size=version.files[place.path].size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        with as_os_error(self.path):
            return self._shared.read(self._version, self._place.path, start, end)

    def __reduce__(self) -> tuple[Any, ...]:
        path = self._place.at(self._version.manifest)  # Whatever is published meanwhile.
        return _opened_again, (self.fs, path, self.blocksize, self.loc, self.cache.name)


def _opened_again(fs: P2phubFileSystem, path: str, block_size: int, at: int, cache_type: str) -> Any:
    file = fs.open(path, "rb", block_size=block_size, cache_type=cache_type)
    file.seek(at)
    return file

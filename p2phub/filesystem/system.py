"""The file system that fsspec knows by the protocol `p2phub`: what is where, and files opened for reading.

    fs = fsspec.filesystem("p2phub", home=…, providers=[…])       # all options can be left out
    fs.ls("12D3Koo…/squad"); fs.cat_file("12D3Koo…/squad/data/train.parquet", -8, None)

What a path means stands in `paths`. A listing is that of the manifest, so absence is certain and told at once as
FileNotFoundError; that nobody can be reached who has something is ConnectionError, and never taken for absence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem

from p2phub.api.moments import moment_of
from p2phub.api.verbs import several
from p2phub.filesystem.faults import as_os_error, read_only
from p2phub.filesystem.files import P2phubFile
from p2phub.filesystem.paths import Above, Place, parse_path
from p2phub.filesystem.shared import Settings, Shared, absolute_home, shared_by
from p2phub.filesystem.versions import Version

Info = dict[str, Any]
BLOCK_BYTES = 128 << 10
RANGES_AT_ONCE = 8
_OPTIONS = ("home", "bootstrap", "lan", "providers", "wait", "allow_unsafe")


class P2phubFileSystem(AbstractFileSystem):
    """Reads what publishers publish with p2phub, verified, through this machine's home.

    `home`, `bootstrap`, `lan` are as for `p2phub.open_hub`, `providers` and `wait` as for `Hub.open_model`: None is as
    the home's settings say. `allow_unsafe`: whether files that may run code when they are loaded are read, too. Read
    only. What a path led to stays so until `invalidate_cache`.
    """

    protocol = "p2phub"
    root_marker = ""

    def __init__(
        self,
        *args: Any,
        home: str | Path | None = None,
        bootstrap: Sequence[str] = (),
        lan: bool | None = None,
        providers: Sequence[str] = (),
        wait: str | float | None = None,
        allow_unsafe: bool | None = None,
        **storage_options: Any,
    ) -> None:
        for name in storage_options:  # Others may be fsspec's, or of whoever hands them to every file system.
            if close := get_close_matches(name, _OPTIONS, n=1, cutoff=0.8):
                raise TypeError(f"there is no option {name!r}: is {close[0]!r} meant?")
        super().__init__(*args, **storage_options)
        at, first = tuple(several(bootstrap)), tuple(several(providers))
        self._settings = Settings(absolute_home(home), at, lan, first, wait, allow_unsafe)

    @property
    def fsid(self) -> str:
        return "p2phub"

    @property
    def shared(self) -> Shared:
        """What is open in this process."""
        return shared_by(self._settings)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Look anew what names lead to, from now on."""
        self.shared.look_anew()

    # --- what is where ------------------------------------------------------------------------------------------------

    def info(self, path: str, **kwargs: Any) -> Info:
        """Return {"name", "type", "size" (bytes)} of a file or folder; of a file "sha256", "ETag" (the same) and
        "manifest", too."""
        path = self._strip_protocol(path)
        place = parse_path(path)
        if isinstance(place, Above):
            if (place.owner or place.prefix) and not self._above(path, place):
                raise FileNotFoundError(2, "no repository is known here below that", path)
            return _folder(path)
        return self._info(self._version(path, place), place, path)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return what stands in a folder, or the file itself."""
        path = self._strip_protocol(path)
        place = parse_path(path)
        if isinstance(place, Above):
            self.info(path)
            found = [_folder(name) for name in self._above(path, place)]
        else:
            version = self._version(path, place)
            if place.path in version.files:
                found = [self._info(version, place, path)]
            elif place.path in version.folders:
                found = [self._info_below(version, place, each) for each in version.folders.names(place.path)]
            else:
                raise _absent(path)
        return found if detail else [each["name"] for each in found]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any
    ) -> Any:
        """Return what stands below a folder, by the listing of the manifest; of a file, itself."""
        path = self._strip_protocol(path)
        place = parse_path(path)
        if isinstance(place, Above):
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **kwargs)
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        try:
            version = self._version(path, place)
        except FileNotFoundError:
            return {} if detail else []
        found: list[Info] = []
        if place.path in version.files:
            found = [self._info(version, place, path)]
        elif place.path in version.folders:
            found = [self._info_below(version, place, each) for each in version.folders.below(place.path, maxdepth)]
            if withdirs:
                found.append(_folder(path))
        by_name = {each["name"]: each for each in found if withdirs or each["type"] == "file"}
        return {name: by_name[name] for name in sorted(by_name)} if detail else sorted(by_name)

    def walk(self, path: str, maxdepth: int | None = None, topdown: bool = True, **kwargs: Any) -> Iterator[Any]:
        """As of any file system; but where nobody tells what is there, that is raised."""
        self.exists(path)
        yield from super().walk(path, maxdepth=maxdepth, topdown=topdown, **kwargs)

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is such a file or folder. Raises OSError where nobody can be reached who knows."""
        return self._type_of(path) is not None

    def isfile(self, path: str) -> bool:
        return self._type_of(path) == "file"

    def isdir(self, path: str) -> bool:
        return self._type_of(path) == "directory"

    def checksum(self, path: str) -> int:
        """Return the SHA-256 of a file, as a number."""
        return int(self.ukey(path), 16)

    def ukey(self, path: str) -> str:
        """Return the SHA-256 of a file; of a folder, the manifest's digest and its path."""
        info = self.info(path)
        return str(info.get("sha256") or super().ukey(path))

    def created(self, path: str) -> datetime:
        """Return when the version was published; 1970 where nobody says that."""
        path = self._strip_protocol(path)
        place = parse_path(path)
        self.info(path)
        created = None if isinstance(place, Above) else self._version(path, place).created
        return moment_of(created)

    def modified(self, path: str) -> datetime:
        """Return the same as `created`: a version does not change."""
        return self.created(path)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> P2phubFile:
        if mode != "rb":
            raise read_only(path)
        place, version = self._file(path)
        return P2phubFile(
            self,
            path,
            place,
            version,
            mode=mode,
            block_size=BLOCK_BYTES if block_size is None else block_size,
            cache_options=cache_options,
            **kwargs,
        )

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return bytes of a file; negative bounds count from its end. Exactly these are read."""
        path = self._strip_protocol(path)
        place, version = self._file(path)
        low, high, _ = slice(start, end).indices(version.files[place.path].size)
        if low >= high:
            return b""
        with as_os_error(path):
            return self.shared.read(version, place.path, low, high)

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Return the bytes of several ranges, read side by side; instead of one that failed its error, unless
        `on_error` is "raise"."""
        if max_gap is not None:
            raise NotImplementedError("ranges are not merged")
        firsts = starts if isinstance(starts, list) else [starts] * len(paths)
        lasts = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(firsts) == len(lasts):
            raise ValueError("there must be as many starts and ends as paths")

        def one(path: str, start: int | None, end: int | None) -> bytes | OSError:
            try:
                return self.cat_file(path, start, end)
            except OSError as error:
                if on_error == "raise":
                    raise
                return error

        with ThreadPoolExecutor(RANGES_AT_ONCE) as threads:
            return list(threads.map(one, paths, firsts, lasts))

    # --- what cannot be done ------------------------------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        raise read_only(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        raise read_only(path)

    def rmdir(self, path: str) -> None:
        raise read_only(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        raise read_only(str(path))

    def rm_file(self, path: str) -> None:
        raise read_only(path)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        raise read_only(path2)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        raise read_only(path1)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        raise read_only(path)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _version(self, path: str, place: Place) -> Version:
        with as_os_error(path):
            return self.shared.version(place)

    def _above(self, path: str, above: Above) -> list[str]:
        with as_os_error(path):
            return self.shared.repositories(above)

    def _file(self, path: str) -> tuple[Place, Version]:
        """Return the place of a file, and the version that has it."""
        place = parse_path(path)
        if isinstance(place, Above):
            raise _absent(path)
        version = self._version(path, place)
        if place.path not in version.files:
            if place.path in version.folders:
                raise IsADirectoryError(21, "it is a folder", path)
            raise _absent(path)
        return place, version

    def _type_of(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _info(self, version: Version, place: Place, path: str) -> Info:
        file = version.files.get(place.path)
        if file is None:
            if place.path in version.folders:
                return _folder(path)
            raise _absent(path)
        digest = file.sha256.hex()
        return {
            "name": path,
            "type": "file",
            "size": file.size,
            "sha256": digest,
            "ETag": digest,
            "manifest": version.manifest,
        }

    def _info_below(self, version: Version, place: Place, path: str) -> Info:
        below = Place(place.prefix, place.repository, place.revision, path)
        return self._info(version, below, f"{below.root}/{path}")


def _folder(path: str) -> Info:
    return {"name": path, "type": "directory", "size": 0}


def _absent(path: str) -> FileNotFoundError:
    return FileNotFoundError(2, "there is no such file", path)

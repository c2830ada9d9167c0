"""Bytes of the files of a reference, read while they are fetched: what `Hub.open_model` gives.

    async with hub.open_model("12D3Koo…/minilm") as model:
        async for piece in model.read("model.safetensors", 0, 4096): ...

What this home holds is read from where it stands; what is missing is fetched into the home's own store, the chunks that
hold the range and no others, and stays there. Who reads is told where bytes stand once they are verified, and reads the
file itself: the same through a daemon's socket as in the process that fetches.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType

import msgspec

from p2phub.observe import Watch

PIECE_BYTES_MAX = 1 << 20


class OpenedFile(msgspec.Struct, frozen=True):
    """A file of an open model. `size` in bytes; `sha256` of the whole file, as its publisher signed it."""

    path: str
    size: int
    sha256: bytes


class OpenedRelease(msgspec.Struct, frozen=True):
    """What the publisher signed that led to the manifest; `created` and `expires` are unix seconds."""

    publisher: str
    name: str
    tag: str
    sequence: int
    created: int
    expires: int


class Standing:
    """A file that stands whole on this disk, opened. `descriptor` is for `os.sendfile`, `os.preadv`, and belongs to
    this object: close it, or use it as a context manager. `size` in bytes."""

    descriptor: int
    size: int

    def unchanged(self) -> bool:
        """Whether the file still is what was hashed: ask after a read and before its bytes are passed on, or, with
        sendfile, before and after, and break the connection off where it is not. Does not block for long."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Standing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OpenModel:
    """The files of one manifest, open for reading from `__aenter__` to `__aexit__`. Any number of tasks may read at
    once, the same file too; the fetch that brings what is missing is one for all of this home who read the manifest."""

    reference: str
    """As it was asked for."""
    manifest: str
    """Its digest, as text."""
    release: OpenedRelease | None
    """None where no publisher's word led here."""
    files: Mapping[str, OpenedFile]
    """By path, in the order of paths."""

    async def read(self, path: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes | memoryview]:
        """Yield bytes `start` ..< `stop` (None: to the end) of a file in order, each piece as soon as it is verified.

        A piece has at most PIECE_BYTES_MAX; what is behind the end of the file is left out. While it is fetched no
        more than AHEAD_BYTES beyond what was taken are asked for, and nothing beyond the chunks (1 MiB at most) that
        hold the range. Leave it with `aclose` (`contextlib.aclosing`), or the end of `open_model` does: then nothing
        more is fetched for it. Raises NotFound for a file that is not there, UsageError for no range, NoProvider if
        nobody who can be reached has what is missing, Damaged or ChunkMismatch if all that came was wrong, DiskError,
        of it DiskFull. The same read goes on from what came.
        """
        raise NotImplementedError
        yield b""

    async def descriptor(self, path: str) -> Standing | None:
        """Return a file as it stands whole and unchanged on this disk, opened; None if it does not: then `read` it.
        Raises NotFound for a file that is not there."""
        raise NotImplementedError

    async def danger(self, path: str) -> str | None:
        """Say why loading a file may run code (a pickle, told by what it holds, not by its name); None if it may not.

        Nothing is refused by `read`: whether to pass such a file on is the caller's to decide. Reads what it has to
        look at, which is fetched if it is not here. Raises as `read` does.
        """
        raise NotImplementedError

    async def __aenter__(self) -> OpenModel:
        """Resolve the reference, get what describes it. Raises UsageError, Malformed, NotFound, NotTrusted, NoProvider,
        Damaged, DiskError."""
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all reads. What came is kept in the own store; files that came whole stand there as files."""
        raise NotImplementedError


class Opens:
    """The verb of `Hub` that opens what is read."""

    def open_model(
        self,
        ref: str,
        *,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        wait: str | float | None = None,
        watch: Watch | None = None,
    ) -> OpenModel:
        """Return the files of `ref`, to be read while they are fetched: `async with hub.open_model(ref) as model`.

        `providers`, `mirrors` and `wait` (seconds, or a text) are as for `fetch`; where somebody reads the same
        manifest through this home already, the fetch under way waits as they said. `watch` is told of Waiting before
        the model is open.
        """
        raise NotImplementedError

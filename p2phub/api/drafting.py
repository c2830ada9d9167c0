"""A version put together file by file, without a folder: what `Hub.open_draft` gives.

    async with hub.open_draft("12D3Koo…/minilm") as draft:
        await draft.write("README.md", pieces)
        draft.remove("old.bin")
        published = await draft.publish(name="minilm")

Files go into the home's own store as they come, and stay there once they were published, where nothing changes them;
what a version has in common with others is there once. Nothing is published before `publish`, and whatever was not goes
with the draft.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType

import trio

from p2phub.api.under_way import UnderWay
from p2phub.api.verbs import Call, HubPart, fields, unwatched
from p2phub.errors import DiskError, DiskFull, HubError, NotFound, UsageError
from p2phub.manifest import is_sha256
from p2phub.observe import DraftOpened, Event, Published, Watch

WRITTEN_AT_ONCE_BYTES = 1 << 20
ROOM_BYTES = 16 << 20  # Asked for at a time, of what nobody knows the length of.
CHANGES_BYTES = 128 << 10  # Told to the node at a time: half of what it takes.
CLOSE_S = 10.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

_threads = trio.CapacityLimiter(8)  # Of all who write here: they wait for disks.


class Draft:
    """A version on its way, from `__aenter__` to `__aexit__`. Any number of tasks may write at once."""

    def __init__(self, call: Call, nursery: trio.Nursery, base: str | None, watch: Watch) -> None:
        self._call, self._nursery, self._watch = call, nursery, watch
        self.base: str | None = None
        """The manifest that it begins with, as text. Once it is open."""
        self._number: int | None = None
        self._folder = Path()
        self._being_open = UnderWay(lambda take: self._call("open_draft", {"base": base}, take), self._take)
        self._received: dict[str, str] = {}  # By SHA-256 in hex: where it was written to.
        self._changes: list[list[str]] = []
        self._taken: list[tuple[Draft, str]] = []  # Of other drafts.

    # --- what is in it ------------------------------------------------------------------------------------------------

    async def receive(
        self, pieces: AsyncIterable[bytes | memoryview], *, size: int | None = None, sha256: str | None = None
    ) -> str:
        """Write what comes into the home's own store; return its SHA-256 in hex, by which `use` gives it a path.

        No more of it is in memory than WRITTEN_AT_ONCE_BYTES and a piece. `size` (bytes) and `sha256` say what it
        should be; with `size` a full disk shows at once. Raises UsageError if it is something else, and DiskError, of
        it DiskFull, also beyond the home's quota; then nothing is left of it. What `pieces` raises passes through;
        a generator is closed.
        """
        wanted = None if sha256 is None else _hex(sha256)
        writing = _Writing(self._folder / secrets.token_hex(16), self._room, size)
        try:
            async with aclosing(pieces) if isinstance(pieces, AsyncGenerator) else contextlib.nullcontext():
                async for piece in pieces:
                    await writing.add(piece)
            found = await writing.end()
            if wanted not in (None, found):
                raise UsageError(f"its SHA-256 is {found}, and not {wanted}, as was said")
        except BaseException:
            with trio.CancelScope(shield=True):
                await writing.undo()
            raise
        if found in self._received:
            await writing.undo()
        else:
            self._received[found] = os.fspath(writing.place)
        return found

    def has(self, sha256: str) -> bool:
        """Return whether content came by `receive` or `write`, and was not published since."""
        return sha256 in self._received

    async def read(self, sha256: str, start: int, stop: int) -> bytes:
        """Return bytes `start` ..< `stop` of what came by `receive`, fewer where it ends. Raises NotFound if it did not
        come, DiskError."""
        place = self._received.get(sha256)
        if place is None:
            raise NotFound(f"nothing came here whose SHA-256 is {sha256}")

        def read() -> bytes:
            try:
                fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    return os.pread(fd, stop - start, start)
                finally:
                    os.close(fd)
            except OSError as exc:
                raise DiskError(f"cannot read what was written: {exc.strerror}") from exc

        return await trio.to_thread.run_sync(read, limiter=_threads)

    async def write(
        self,
        path: str,
        pieces: AsyncIterable[bytes | memoryview],
        *,
        size: int | None = None,
        sha256: str | None = None,
    ) -> str:
        """Put a file there, in the place of one that is there; return its SHA-256. As `receive`, then `use`."""
        found = await self.receive(pieces, size=size, sha256=sha256)
        self.use(path, found)
        return found

    def use(self, path: str, sha256: str, *, received_by: Draft | None = None) -> None:
        """Put a file there whose content is here: of the base, or of what came for this draft, or for another one of
        the same hub (`received_by`), which has it no more once this one was published. Nothing is copied.

        If there is no such content, or no manifest may have such a path, `publish` says so.
        """
        digits = _hex(sha256)
        for draft in (self, *([] if received_by is None else [received_by])):
            if digits in draft._received:
                self._changes.append(["put", path, draft._received[digits], digits])
                self._taken.append((draft, digits))
                return
        self._changes.append(["use", path, digits])

    def remove(self, path: str) -> None:
        """Leave a file out, or a folder with all that is in it. If there is none, `publish` says so."""
        self._changes.append(["remove", path])

    async def publish(
        self,
        *,
        name: str,
        tag: str = "main",
        kind: str = "model",
        description: str = "",
        licence: str = "",
        private: bool = False,
        allow: Sequence[str] = (),
        include: Sequence[str] = (),
        parents: Sequence[str] = (),
        watch: Watch | None = None,
    ) -> Published:
        """Hash what was written, sign all of it as `name`, record it; a running daemon announces it.

        All as for `Hub.publish`; `include`: patterns of what looks like a secret and is meant to be public. What was
        written is the home's own from then on, and removed by `gc` once no version has it any more. Raises UsageError
        for what may not be published, a SHA-256 that is not here or a path that is not there (NotFound), Malformed for
        a path or a name that is none, ContentChanged where a file of the base is not what it was, DiskError.
        """
        await self._tell_changes()
        args = {
            "name": name,
            "tag": tag,
            "kind": kind,
            "description": description,
            "licence": licence,
            "private": private,
            "allow": list(allow),
            "include": list(include),
            "parents": list(parents),
        }
        try:
            result = await self._call("draft_publish", {"number": self._number, **args}, watch or self._watch)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._forget_moved, limiter=_threads)
            raise
        for draft, digits in self._taken:
            draft._received.pop(digits, None)
        self._taken.clear()
        return Published(**fields(result))

    def _forget_moved(self) -> None:
        """Have it said that what was moved before publishing failed did not come: it is to be written again. Blocks."""
        for draft, digits in self._taken:
            place = draft._received.get(digits)
            if place is not None and not os.path.lexists(place):
                del draft._received[digits]

    async def _tell_changes(self) -> None:
        waiting = self._changes
        self._changes = []
        while waiting:
            some, length = 0, 0
            while some < len(waiting) and (not some or length < CHANGES_BYTES):
                length += len(json.dumps(waiting[some]))
                some += 1
            args = {"number": self._number, "changes": waiting[:some]}
            await self._call("draft_change", args, unwatched)
            del waiting[:some]

    async def _room(self, count: int) -> None:
        await self._call("draft_room", {"number": self._number, "count": count}, unwatched)

    # --- open and closed ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Draft:
        """Begin it. Raises UsageError and NotFound for a base that is none, or not held whole here, DiskError."""
        await self._being_open.begin(self._nursery)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not published."""
        with trio.move_on_after(CLOSE_S, shield=True):
            if not self._being_open.ended and self._number is not None:
                with contextlib.suppress(HubError):
                    await self._call("close_draft", {"number": self._number}, unwatched)
                    await self._being_open.end()
        self._being_open.stop()

    def _take(self, event: Event) -> None:
        if isinstance(event, DraftOpened):
            self._number, self._folder, self.base = event.number, Path(event.folder), event.base
            self._being_open.tell()


class _Writing:
    """A file that is written. `room` is asked before there is more of it."""

    def __init__(self, place: Path, room: Callable[[int], Awaitable[None]], size: int | None) -> None:
        self.place = place
        self._ask_room = room
        self._size = size
        self._room = 0
        self._length = 0
        self._waiting = bytearray()
        self._digest = hashlib.sha256()
        self._fd = -1

    async def add(self, piece: bytes | memoryview) -> None:
        self._length += len(piece)
        if self._size is not None and self._length > self._size:
            raise UsageError(f"it is longer than the {self._size} bytes that were said")
        self._waiting += piece
        if len(self._waiting) >= WRITTEN_AT_ONCE_BYTES:
            await self._write()

    async def end(self) -> str:
        """Write the rest; return the SHA-256 of all."""
        if self._size is not None and self._length != self._size:
            raise UsageError(f"it ends after {self._length} of the {self._size} bytes that were said")
        await self._write()
        await trio.to_thread.run_sync(self._close, limiter=_threads)
        return self._digest.hexdigest()

    async def undo(self) -> None:
        """Leave nothing of it."""

        def remove() -> None:
            self._close()
            with contextlib.suppress(OSError):  # It goes with its folder.
                self.place.unlink(missing_ok=True)

        await trio.to_thread.run_sync(remove, limiter=_threads)
        if self._room:
            with contextlib.suppress(HubError):
                await self._ask_room(-self._room)
            self._room = 0

    async def _write(self) -> None:
        if self._length > self._room:
            more = (self._length if self._size is None else self._size) - self._room
            if self._size is None and self._length >= WRITTEN_AT_ONCE_BYTES:
                more = max(more, ROOM_BYTES)
            await self._ask_room(more)
            self._room += more
        data, self._waiting = self._waiting, bytearray()

        def write() -> None:
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(self.place, flags, 0o600)
            self._digest.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]

        try:
            await trio.to_thread.run_sync(write, limiter=_threads)
        except OSError as exc:
            what = f"cannot write in {self.place.parent}: {exc.strerror}"
            if exc.errno in _FULL:
                raise DiskFull(what, hint="make room, then write it again") from exc
            raise DiskError(what) from exc

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _hex(sha256: str) -> str:
    """Return a SHA-256 in lower case. Raises UsageError for what is none."""
    digits = sha256.lower()
    if not is_sha256(digits):
        raise UsageError(f"not a SHA-256 in hex: {sha256[:80]!a}")
    return digits


class DraftingVerbs(HubPart):
    """What puts a version together."""

    def open_draft(self, base: str | None = None, *, watch: Watch = unwatched) -> Draft:
        """Return a version that can be put together file by file: `async with hub.open_draft(base) as draft`.

        `base`: a reference, held whole here, whose files it begins with; they stay where they are, and nothing of them
        is copied. `draft.write(path, pieces)` puts a file there, `draft.use(path, sha256)` one whose content is here,
        `draft.remove(path)` leaves some out; `draft.publish(name=…)` publishes, as `publish` does a folder. `watch` is
        told of PublishProgress. To enter it is what opens it. Raises UsageError and NotFound for a base that is none,
        or not held whole, DiskError.
        """
        assert self._nursery is not None, "only an open hub has drafts"
        return Draft(self._call, self._nursery, base, watch)

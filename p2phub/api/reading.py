"""Bytes of the files of a reference, read while they are fetched: what `Hub.open_model` gives.

    async with hub.open_model("12D3Koo…/minilm") as model:
        async for piece in model.read("model.safetensors", 0, 4096): ...

What this home holds is read from where it stands; what is missing is fetched into the home's own store, the chunks that
hold the range and no others, and stays there. Who reads is told where bytes stand once they are verified, and reads the
file itself: the same through a daemon's socket as in the process that fetches.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from p2phub.api.examining import examine
from p2phub.api.standing import DiskFile, Part, StandingFile, Stretch, open_unchanged
from p2phub.api.under_way import UnderWay
from p2phub.api.verbs import Call, HubPart, as_wait, several, unwatched
from p2phub.errors import ContentChanged, HubError, NotFound, UsageError
from p2phub.observe import Event, ModelOpened, RangeReady, Watch

if TYPE_CHECKING:
    from p2phub.api.weights import Weights

PIECE_BYTES_MAX = 1 << 20
AHEAD_BYTES = 32 * PIECE_BYTES_MAX  # Enough for 10 Gbit/s over 25 ms.
STRETCH_BYTES_MAX = AHEAD_BYTES // 8
STEP_BYTES = AHEAD_BYTES // 4  # Asked for at a time, once it began.
TRIES_MAX = 8  # So often in a row a file may prove to be changed, or gone, when it is read.
CLOSE_S = 10.0

_threads = trio.CapacityLimiter(8)  # Of all who read here: they wait for disks.


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


class OpenModel:
    """The files of one manifest, open for reading from `__aenter__` to `__aexit__`. Any number of tasks may read at
    once, the same file too; the fetch that brings what is missing is one for all of this home who read the manifest."""

    def __init__(self, call: Call, nursery: trio.Nursery, args: dict[str, Any], watch: Watch) -> None:
        self._call, self._nursery, self._watch = call, nursery, watch
        self.reference: str = args["ref"]
        """As it was asked for."""
        self.manifest = ""
        """Its digest, as text. This and what follows once it is open."""
        self.release: OpenedRelease | None = None
        """None where no publisher's word led here."""
        self.files: Mapping[str, OpenedFile] = MappingProxyType({})
        """By path, in the order of paths."""
        self._number: int | None = None
        self._being_open = UnderWay(lambda take: self._call("open_model", args, take), self._take)
        self._asked: set[_Asked] = set()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(
        self, path: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield bytes `start` ..< `stop` (None: to the end) of a file in order, each piece as soon as it is verified.

        A piece has at most PIECE_BYTES_MAX; what is behind the end of the file is left out. While it is fetched no
        more than AHEAD_BYTES beyond what was taken are asked for, and nothing beyond the chunks (1 MiB at most) that
        hold the range. Leave it with `aclose` (`contextlib.aclosing`), or the end of `open_model` does: then nothing
        more is fetched for it. Raises NotFound for a file that is not there, UsageError for no range, NoProvider if
        nobody who can be reached has what is missing, Damaged or ChunkMismatch if all that came was wrong, DiskError,
        of it DiskFull. The same read goes on from what came.
        """
        async with aclosing(self._parts(path, start, stop)) as parts:
            async for part in parts:
                while part.at < part.stop:
                    piece = await trio.to_thread.run_sync(part.take, PIECE_BYTES_MAX, limiter=_threads)
                    if piece is None:
                        break
                    yield piece

    async def stretches(self, path: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[Stretch, None]:
        """Yield where bytes `start` ..< `stop` stand, in order, each stretch as soon as it is verified: for who passes
        them on from the file itself. The rest is as with `read`; of a file that changes meanwhile `unchanged` says so.
        Each stretch is the caller's to close, and counts as taken with the next."""
        async with aclosing(self._parts(path, start, stop)) as parts:
            async for part in parts:
                stretch = part.stretch()
                part.at = part.stop
                yield stretch

    async def _parts(self, path: str, start: int, stop: int | None) -> AsyncGenerator[Part, None]:
        """Yield parts of the range in order, as they are verified. Where one was not taken to its end, what stands
        there is looked up anew."""
        size = self._file(path).size
        if start < 0 or (stop is not None and stop < start):
            raise UsageError(f"bytes {start} to {stop} are no range of {path}")
        at, stop = start, size if stop is None else min(stop, size)
        asked_to, tries = at, 0  # `asked_to`: up to where it was asked for, or is known to stand.
        asked: deque[_Asked] = deque()
        files: dict[tuple[str, tuple[int, ...] | None], DiskFile] = {}
        try:
            while at < stop:
                if asked_to - at <= AHEAD_BYTES - STEP_BYTES and asked_to < stop:
                    step = STEP_BYTES if asked_to > at else AHEAD_BYTES
                    more = self._ask(path, asked_to, min(asked_to + step, stop))
                    asked.append(more)
                    asked_to = more.stop
                ready = await asked[0].at(at) if asked else None
                part = None
                if ready is not None:
                    asked_to = max(asked_to, ready.stop)  # Of what is held all is told.
                    if (file := await _standing(files, ready)) is not None:
                        part = Part(file, at, min(at + STRETCH_BYTES_MAX, ready.stop, stop))
                        yield part
                        tries = 0 if part.at > at else tries
                        at = part.at
                elif asked and at >= asked[0].stop:
                    asked.popleft().leave()
                    continue
                if part is None or part.at < part.stop:  # It is not there any more, or was not told of: look anew.
                    tries += 1
                    if tries > TRIES_MAX:
                        raise ContentChanged(f"{path} changes all the time while it is read")
                    while asked:
                        asked.popleft().leave()
                    asked_to = at
        finally:
            for each in asked:
                each.leave()
            for file in files.values():
                file.close()

    async def descriptor(self, path: str) -> StandingFile | None:
        """Return a file as it stands whole and unchanged on this disk, opened; None if it does not (of an empty one
        never): then `read` it. Raises NotFound for a file that is not there."""
        size = self._file(path).size
        found = await self._call("standing", {"manifest": self.manifest, "path": path}, lambda event: None)
        if found["place"] is None:
            return None
        exactly = tuple(found["exactly"])
        file = await trio.to_thread.run_sync(lambda: open_unchanged(found["place"], exactly), limiter=_threads)
        return None if file is None else StandingFile(file, size)

    async def danger(self, path: str, *, start: int = 0) -> str | None:
        """Say why loading a file may run code (a pickle, told by what it holds, not by its name); None if it may not.

        Nothing is refused by `read`: whether to pass such a file on is the caller's to decide. Reads what it has to
        look at, which is fetched if it is not here: the beginning and the end together, and what stands at `start`,
        where the caller will read if it may. Raises as `read` does.
        """
        from p2phub.formats import danger_of, telling_spans  # Most who read know what they read.

        size = self._file(path).size
        wanted = [(start, min(start + 1, size)), *telling_spans(size)]
        args = {"manifest": self.manifest, "path": path, "ranges": [span for span in wanted if span[0] < span[1]]}
        together = UnderWay(lambda watch: self._call("want_ranges", args, watch), lambda event: None)
        self._nursery.start_soon(together.run)
        try:
            return await examine(partial(self.read, path), lambda read_at: danger_of(size, read_at))
        finally:
            together.stop()

    async def gather(self, path: str, start: int = 0, stop: int | None = None) -> bytearray:
        """Return bytes `start` ..< `stop` of a file at once, as `read` yields them. Raises as that does."""
        data = bytearray()  # It grows as they come: how long a file is is its publisher's word until then.
        async with aclosing(self.read(path, start, stop)) as pieces:
            async for piece in pieces:
                data += piece
        return data

    def _file(self, path: str) -> OpenedFile:
        file = self.files.get(path)
        if file is None:
            raise NotFound(f"there is no file {path!r} in {self.reference}")
        return file

    def _ask(self, path: str, start: int, stop: int) -> _Asked:
        args = {"manifest": self.manifest, "path": path, "start": start, "stop": stop}
        asked = _Asked(self._asked, lambda watch: self._call("read_range", args, watch), start, stop)
        self._nursery.start_soon(asked.run)
        return asked

    # --- open and closed ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> OpenModel:
        """Resolve the reference, get what describes it. Raises UsageError, Malformed, NotFound, NotTrusted, NoProvider,
        Damaged, DiskError."""
        await self._being_open.begin(self._nursery)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all reads. What came is kept in the own store; files that came whole stand there as files."""
        for asked in list(self._asked):
            asked.leave()
        with trio.move_on_after(CLOSE_S, shield=True):
            if not self._being_open.ended and self._number is not None:
                with contextlib.suppress(HubError):
                    await self._call("close_model", {"number": self._number}, lambda event: None)
                    await self._being_open.end()
        self._being_open.stop()

    def _take(self, event: Event) -> None:
        if not isinstance(event, ModelOpened):
            self._watch(event)
            return
        self._number, self.manifest = event.number, event.manifest
        if event.release is not None:
            names = OpenedRelease.__struct_fields__
            self.release = OpenedRelease(**{name: event.release[name] for name in names})
        files = (OpenedFile(path, size, bytes.fromhex(sha256)) for path, size, sha256 in event.files)
        self.files = MappingProxyType({file.path: file for file in files})
        self._being_open.tell()


class _Asked:
    """A range that the node was asked for: parts of it become ready in order. One of `all_asked` while it is."""

    def __init__(
        self, all_asked: set[_Asked], call: Callable[[Watch], Awaitable[object]], start: int, stop: int
    ) -> None:
        self._all = all_asked
        self.start, self.stop = start, stop
        self._parts: deque[RangeReady] = deque()
        self._asking = UnderWay(call, self._take)
        all_asked.add(self)

    async def run(self) -> None:
        try:
            await self._asking.run()
        finally:
            self._all.discard(self)

    def _take(self, event: Event) -> None:
        if isinstance(event, RangeReady):
            self._parts.append(event)
            self.stop = max(self.stop, event.stop)
            self._asking.tell()

    async def at(self, at: int) -> RangeReady | None:
        """Return a part that begins at or before `at` and has more; None where no such part will come. Raises what the
        node raised."""
        while True:
            while self._parts and self._parts[0].stop <= at:
                self._parts.popleft()
            if self._parts:
                return self._parts[0] if self._parts[0].start <= at else None
            if at >= self.stop:
                return None
            if self._asking.ended:
                if self._asking.error is not None:
                    raise self._asking.error
                return None
            await self._asking.news()

    def leave(self) -> None:
        """It is not wanted any more."""
        self._asking.stop()


async def _standing(files: dict[tuple[str, tuple[int, ...] | None], DiskFile], ready: RangeReady) -> DiskFile | None:
    """Return the open file that something stands in, None if it is not there, or not as it was."""
    key = ready.place, None if ready.exactly is None else tuple(ready.exactly)
    file = files.get(key)
    if file is None:
        file = await trio.to_thread.run_sync(open_unchanged, *key, limiter=_threads)
        if file is not None:
            files[key] = file
    return file


# --- the verb -------------------------------------------------------------------------------------------------------


class ReadingVerbs(HubPart):
    """What opens the files of a reference, to be read."""

    def open_model(
        self,
        ref: str,
        *,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        wait: str | float | None = None,
        watch: Watch = unwatched,
    ) -> OpenModel:
        """Return the files of `ref`, to be read while they are fetched: `async with hub.open_model(ref) as model`.

        `model.files` says what there is, `model.read(path, start, stop)` yields verified pieces of a range in order.
        What this home holds is read from where it stands; what is missing is fetched into the home's own store, the
        chunks that hold the ranges asked for and no others, and kept there until `gc`. `providers`, `mirrors`, `wait`
        (seconds, or a text) and `watch` are as for `fetch`; where somebody reads the same manifest through this home
        already, the fetch under way goes on as they said. To enter it is what looks it up. Raises UsageError,
        Malformed, NotFound, NotTrusted, NoProvider, Damaged, DiskError.
        """
        assert self._nursery is not None, "only an open hub has models to read"
        args = {
            "ref": ref,
            "providers": several(providers),
            "mirrors": several(mirrors),
            "up": self._up,
            "down": self._down,
            "wait": as_wait(wait),
        }
        return OpenModel(self._call, self._nursery, args, watch)

    def safe_open(
        self,
        ref: str,
        path: str = "model.safetensors",
        *,
        framework: str = "numpy",
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        wait: str | float | None = None,
        watch: Watch = unwatched,
    ) -> Weights:
        """Return the tensors of a safetensors file of `ref`, each read when it is asked for:
        `async with hub.safe_open(ref) as weights: array = await weights.get_tensor(name)`.

        As `safetensors.safe_open` has it, without the file: of what is not here only the header is fetched, and the
        bytes (of rows of tensors, or whole ones) that are asked for. `path`: a file, or one that is cut into shards,
        which its index beside it (`model.safetensors.index.json`) names. `framework`: "numpy" or "np" (of BF16 the
        bits, as uint16), "torch" or "pt". `providers`, `mirrors`, `wait` (seconds, or a text) and `watch` are as for
        `open_model`. Raises UsageError for a framework that is not known, or not installed; to enter it raises what
        `open_model` does, and Malformed for a file that is not safetensors.
        """
        from p2phub.api.weights import Weights

        model = self.open_model(ref, providers=providers, mirrors=mirrors, wait=wait, watch=watch)
        return Weights(model, path, framework)

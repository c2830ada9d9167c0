"""Files to be read in part, while what is missing is fetched: whoever asks is told where verified bytes stand, and
reads them there itself, being of the same user.

`open_model` lasts until `close_model`, or until whoever asked goes away; meanwhile ranges can be asked for, each by a
call of its own: what of it nobody was told of yet when that is cut off is not fetched any more.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import trio

from p2phub import limits
from p2phub.content import Codec, parse_digest
from p2phub.engine.waiting import Looks
from p2phub.errors import NotFound, UsageError
from p2phub.identity import parse_peer_address
from p2phub.node.durations import parse_duration
from p2phub.node.rates import Rates, parse_cap
from p2phub.node.reading import Reading, Wanted, opened
from p2phub.node.releases import release_json
from p2phub.node.running import JsonObject, Running
from p2phub.observe import ModelOpened, Watch

_NUMBERS = itertools.count(1)


async def open_model(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    up: int | None = None,
    down: int | None = None,
    wait: str | float | None = None,
) -> JsonObject:
    """Tell what `ref` has (ModelOpened) once that is known; return when it was closed. Raises HubError."""
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    wait_s = parts.config.wait if wait is None else parse_duration(wait)
    resolved = await parts.resolver.resolve(ref, given, mirrors, looks=Looks(wait_s, watch))
    rates = Rates(*(None if rate is None else parse_cap(rate) for rate in (up, down)))
    wanted = Wanted(ref, resolved, given, tuple(mirrors), wait_s, rates)
    number, closed = next(_NUMBERS), trio.Event()
    async with opened(node, wanted, watch) as reading:
        node.open_models[number] = closed
        try:
            watch(
                ModelOpened(
                    number,
                    ref,
                    resolved.manifest.text(Codec.MSGPACK),
                    None if resolved.release is None else release_json(resolved.release),
                    [[entry.path, entry.size, entry.sha256.hex()] for entry in reading.manifest.files],
                )
            )
            await closed.wait()
        finally:
            del node.open_models[number]
    return {}


async def close_model(node: Running, watch: Watch, *, number: int) -> JsonObject:
    """Have the call that opened a model return. Raises NotFound if there is none of that number."""
    closed = node.open_models.get(number)
    if closed is None:
        raise NotFound(f"no model {number} is open here")
    closed.set()
    return {}


async def read_range(node: Running, watch: Watch, *, manifest: str, path: str, start: int, stop: int) -> JsonObject:
    """Tell where bytes `start` ..< `stop` of a file stand (RangeReady), in order, as they are verified; return when all
    was told. Raises HubError."""
    reading, number = _file_of(node, manifest, path)
    if not 0 <= start < stop <= reading.manifest.files[number].size:
        raise UsageError(f"bytes {start} to {stop} are no range of {path}")
    if stop - start > limits.READ_AT_ONCE_BYTES_MAX:
        raise UsageError(f"more than {limits.READ_AT_ONCE_BYTES_MAX} bytes at a time")
    await reading.follow(number, start, stop, watch)
    return {}


async def want_ranges(
    node: Running, watch: Watch, *, manifest: str, path: str, ranges: Sequence[Sequence[int]]
) -> JsonObject:
    """Have [start, stop] ranges of a file fetched together, as far as they are missing, for who reads them one after
    the other; return when all is here. Raises HubError."""
    reading, number = _file_of(node, manifest, path)
    spans = [(start, stop) for start, stop in ranges]
    if not all(0 <= start < stop <= reading.manifest.files[number].size for start, stop in spans):
        raise UsageError(f"{spans[: limits.SOON_RANGES_MAX]} are no ranges of {path}")
    if len(spans) > limits.SOON_RANGES_MAX:
        raise UsageError(f"more than {limits.SOON_RANGES_MAX} ranges at a time")
    if sum(stop - start for start, stop in spans) > limits.READ_AT_ONCE_BYTES_MAX:
        raise UsageError(f"more than {limits.READ_AT_ONCE_BYTES_MAX} bytes at a time")
    await reading.have(number, spans)
    return {}


async def standing(node: Running, watch: Watch, *, manifest: str, path: str) -> JsonObject:
    """Return where a file stands whole and unchanged: {"place", "exactly"} as in RangeReady, both None if nowhere."""
    reading, number = _file_of(node, manifest, path)
    found = await reading.whole(number)
    return {"place": None if found is None else found.place, "exactly": None if found is None else found.exactly}


def _file_of(node: Running, manifest: str, path: str) -> tuple[Reading, int]:
    reading = node.readings.get(parse_digest(manifest)[0])
    if reading is None or not reading.is_loaded:
        raise NotFound(f"{manifest} is not open here")
    number = reading.manifest.number_of(path)
    if number is None:
        raise NotFound(f"there is no file {path!r} in what is open")
    return reading, number

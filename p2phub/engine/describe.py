"""Get what describes a manifest, and no more: its pages, from the first provider that has them.

For `info` of something that is not held. Providers are tried one after the other.
"""

from __future__ import annotations

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.engine.assembly import Assembly
from p2phub.engine.fetch import Means
from p2phub.engine.search import Search
from p2phub.errors import HubError, NoProvider, PeerError, PeerGone
from p2phub.manifest import Manifest
from p2phub.net import Blobs, Closed, Opened, Refused

ONE_PROVIDER_S = 30.0
CANDIDATES_TRIED_MAX = 16


async def describe(manifest: Digest, *, search: Search, means: Means) -> Manifest:
    """Return the manifest. Raises NoProvider (says whom it asked), Malformed."""
    assembly = Assembly(manifest, means.store.blob)  # It looks into the store: whatever asks it runs in a worker.
    failure: PeerError | None = None
    tried = 0
    for round_number in range(2):
        send, receive = trio.open_memory_channel[Candidate](limits.PROVIDERS_PER_KEY_MAX)
        async with trio.open_nursery() as nursery:

            async def look(round_number: int, send: trio.MemorySendChannel[Candidate]) -> None:
                async with send:
                    await search.look(manifest, round_number, send)

            nursery.start_soon(look, round_number, send)
            async for candidate in receive:
                tried += 1
                try:
                    with trio.move_on_after(ONE_PROVIDER_S):
                        await _ask(candidate, assembly, means)
                except PeerError as error:
                    failure = error
                if tried >= CANDIDATES_TRIED_MAX or await means.workers.run(assembly.pages_here):
                    nursery.cancel_scope.cancel()
                    break
        if await means.workers.run(assembly.pages_here):
            return await means.workers.run(assembly.manifest)
        if not search.more():
            break
    why: HubError | str = failure or "nobody is known to have it"
    raise NoProvider(f"cannot tell what is in the manifest: {why} (asked: {search.asked()})")


async def _ask(candidate: Candidate, assembly: Assembly, means: Means) -> None:
    link = await means.dialler.open_link(
        candidate.provider, assembly.digest, prefix_bytes=limits.PREFIX_BYTES_MAX, via=candidate.via
    )
    try:
        while not await means.workers.run(assembly.pages_here):
            match await link.next_report():
                case Opened(blobs=blobs) | Blobs(blobs=blobs):
                    assembly.add(blobs)
                    if not await means.workers.run(assembly.pages_here):
                        missing = await means.workers.run(assembly.missing)
                        link.ask(missing[: limits.BLOBS_PER_REQUEST_MAX])
                case Refused(reason=reason):
                    raise PeerGone(f"refused: {reason}", peer=str(candidate.provider.peer))
                case Closed(error=error):
                    raise error if isinstance(error, PeerError) else PeerGone("ended the connection")
    finally:
        link.close()

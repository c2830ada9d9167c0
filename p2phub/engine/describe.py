"""Get what describes a manifest, and no more, from the first provider that has it.

For what is said of something that is not held. Providers are tried one after the other; what one gave the next need not
give again. Who has no place for us just now is asked again a few times: it may be that we took it a moment ago.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import Candidate
from p2phub.engine.assembly import Assembly, Wanted
from p2phub.engine.job import Means
from p2phub.engine.search import Search
from p2phub.errors import HubError, NoProvider, PeerError, PeerGone, PeerRefused
from p2phub.net import Blobs, Closed, Opened, Refused
from p2phub.wire import refusal

ONE_PROVIDER_S = 30.0
CANDIDATES_TRIED_MAX = 16
BUSY_AGAIN_S = (0.5, 1.0, 2.0, 4.0)  # All within the 10 s that clients of a gateway wait.
Missing = Callable[[], list[Wanted]]


async def describe(
    manifest: Digest, *, search: Search, means: Means, lists: bool = False, layouts: bool = False
) -> Assembly:
    """Return what describes the manifest: its pages, with `lists` its chunk lists, with `layouts` those of its files.

    What was got is kept in the store, if it is more than pages. Raises NoProvider (says whom it asked), Malformed,
    Damaged, DiskError.
    """
    assembly = Assembly(manifest, means.store.blob)  # It looks into the store: whatever asks it runs in a worker.

    def missing() -> list[Wanted]:
        of_manifest = assembly.missing() if lists else assembly.missing_pages()
        return of_manifest or (assembly.missing_layouts() if layouts else [])

    await _gather(assembly, missing, search, means)
    if lists or layouts:
        await means.workers.run(lambda: means.store.put_blobs(assembly.take_new()))
    return assembly


async def _gather(assembly: Assembly, missing: Missing, search: Search, means: Means) -> None:
    """Ask until nothing is `missing`, which is called in a worker."""
    if not await means.workers.run(missing):
        return
    failure: PeerError | None = None
    tried = 0
    busy: dict[Candidate, None] = {}  # In the order in which they were heard of; each round names some again.
    for round_number in range(2):
        send, receive = trio.open_memory_channel[Candidate](limits.PROVIDERS_PER_KEY_MAX)
        async with trio.open_nursery() as nursery:

            async def look(round_number: int, send: trio.MemorySendChannel[Candidate]) -> None:
                async with send:
                    await search.look(assembly.digest, round_number, send)

            nursery.start_soon(look, round_number, send)
            async for candidate in receive:
                if not may_be_dialled(candidate, means):
                    continue
                tried += 1
                error = await ask_one(candidate, assembly, missing, means)
                failure = error or failure
                if _has_no_place(error):
                    busy[candidate] = None
                if tried >= CANDIDATES_TRIED_MAX or not await means.workers.run(missing):
                    nursery.cancel_scope.cancel()
                    break
        if not await means.workers.run(missing):
            return
        if not search.more():
            break
    for pause_s in BUSY_AGAIN_S if busy else ():
        await trio.sleep(pause_s)
        for candidate in busy:
            failure = await ask_one(candidate, assembly, missing, means) or failure
            if not await means.workers.run(missing):
                return
    why: HubError | str = failure or "nobody is known to have it"
    raise NoProvider(f"cannot tell what is in the manifest: {why} (asked: {search.asked()})")


def _has_no_place(error: PeerError | None) -> bool:
    return isinstance(error, PeerRefused) and error.reason == "busy"


async def ask_one(candidate: Candidate, assembly: Assembly, missing: Missing, means: Means) -> PeerError | None:
    """Ask one provider for all that is missing. Returns what was wrong with it, if anything. Raises Malformed."""
    try:
        with trio.move_on_after(ONE_PROVIDER_S):
            await _ask(candidate, assembly, missing, means)
    except PeerError as error:
        return error
    return None


def may_be_dialled(candidate: Candidate, means: Means) -> bool:
    return candidate.via == "direct" or means.budget.allow(candidate.provider.address, now=trio.current_time())


async def _ask(candidate: Candidate, assembly: Assembly, missing: Missing, means: Means) -> None:
    link = await means.dialler.open_link(
        candidate.provider, assembly.digest, prefix_bytes=limits.PREFIX_BYTES_MAX, via=candidate.via
    )
    means.budget.proved(link.address)
    owed: set[Digest] = set()
    try:
        while True:
            match await link.next_report():
                case Opened(blobs=blobs) | Blobs(blobs=blobs):
                    owed -= assembly.add(blobs)
                    if owed:
                        continue  # What is missing is looked up for a request, not for each blob of its answer.
                    wanted = (await means.workers.run(missing))[: limits.BLOBS_PER_REQUEST_MAX]
                    if not wanted:
                        return
                    owed = {each.digest for each in wanted}
                    link.ask([(each.digest, each.most) for each in wanted])
                case Refused(reason=reason):
                    raise PeerGone(refusal("it", reason), peer=str(candidate.provider.peer))
                case Closed(error=error):
                    raise error if isinstance(error, PeerError) else PeerGone("ended the connection")
    finally:
        link.close()

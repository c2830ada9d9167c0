"""Files of what is fetched that others have alone, or in other manifests: who holds those is a provider, too.

A large file is announced alone (`manifest.alone`), by whoever has it, in whatever repository and under whatever name.
Once a fetch knows its manifest and proves long, it looks for its missing large files so. A provider found like that is
asked for one file after the other (`kin_link`), as long as it has one of which something is missing. Only what is
public is looked for like that.
"""

from __future__ import annotations

from p2phub import limits
from p2phub.content import ChunkTable, Digest, RangeSet, Run
from p2phub.engine.job import Job
from p2phub.engine.nearness import is_long
from p2phub.engine.providers import Provider
from p2phub.manifest import Manifest, alone_digest, is_alone

LOOKED_FOR_MAX = 16  # Files of one fetch, the largest: each is a search of its own.


def kin_of(manifest: Manifest, table: ChunkTable, missing: RangeSet) -> dict[Digest, Run]:
    """Return the large files, alone, of which something is missing, with their chunks, the largest first. Blocks."""
    if is_alone(manifest):
        return {}
    large = [
        (entry.size, number)
        for number, entry in enumerate(manifest.files)
        if entry.size >= limits.ALONE_BYTES_MIN and RangeSet.of([table.span(number)]) & missing
    ]
    large.sort(reverse=True)
    return {alone_digest(manifest.files[number]): table.span(number) for _, number in large[:LOOKED_FOR_MAX]}


def look_for_kin(job: Job, now: float) -> None:
    """Look for who has missing files alone, once, if the fetch proves long or nobody has what is missing."""
    session = job.session
    if session is None or not job.search.may_look_for(job.kin) or not is_long(job, now):
        return
    job.nursery.start_soon(search_for_kin, job)


async def search_for_kin(job: Job) -> None:
    """Tell the job of all who have files alone that were not looked for yet."""
    async with job.send.clone() as found:
        for digest in job.search.take_kin(job.kin):
            await job.search.look_for_kin(digest, found)


def turn_to_next(job: Job) -> None:
    """Let go of links whose file is had, so that their peers can be asked for the next that they have, and note who has
    none of what is missing."""
    kin = [provider for provider in job.providers if provider.kin]
    if job.session is None or not kin:
        return
    missing = job.session.missing
    for state in list(job.links.values()):
        if state.kin is not None and not state.leaving and not missing & RangeSet.of([job.kin[state.kin]]):
            state.leaving = True
            state.link.close()
    for provider in kin:
        provider.needless = kin_wanted(job, provider) is None


def kin_wanted(job: Job, provider: Provider) -> Digest | None:
    """Return which of its files alone `provider` is asked for next, None if it has none of what is missing."""
    if job.session is None:
        return None
    missing = job.session.missing
    return next((kin for kin in provider.kin if kin in job.kin and missing & RangeSet.of([job.kin[kin]])), None)

"""From a digest to leases: get the manifest and its chunk lists, prepare the disk, let the links join the session.

Until pages and lists are here (`assembly`), there is nothing to lease; whom to ask for which of them says `questions`.
"""

from __future__ import annotations

from functools import partial

import msgspec
import trio

from p2phub.content import Codec, RangeSet
from p2phub.engine.awaited import tell_ready
from p2phub.engine.company import among_others
from p2phub.engine.job import Job, LinkState
from p2phub.engine.kin import files_alone
from p2phub.engine.mending import damaged_copies, distrusted
from p2phub.engine.reuse import reuse
from p2phub.errors import PeerStalled
from p2phub.formats import danger_of
from p2phub.observe import Progress, Started, Unmatched
from p2phub.store import Arrival
from p2phub.transfer import LinkId, Session


async def advance(job: Job, *, news: bool = False) -> None:
    """Ask for what is missing of the metadata, or begin the transfer. What is missing is looked up when all that was
    wanted is here, or there is `news`: more may be here by now than was asked for."""
    if job.session is not None:
        return
    if news or not job.questions.open:
        missing = await job.means.workers.run(job.missing)
        if not missing:
            await begin(job)
            for number, state in list(job.links.items()):
                if state.held is not None:
                    join(job, number, state, trio.current_time())
            return
        job.questions.want(missing)
    _ask(job, trio.current_time())


def look(job: Job, now: float) -> None:
    """Let go of who does not answer, and ask others, too, for what is late."""
    if job.session is not None:
        return
    for state in list(job.links.values()):
        if state.asked.is_stalled(now):
            job.drop(state, PeerStalled("no answer to a question about the manifest", peer=str(state.link.peer)))
    _ask(job, now)


def late_at(job: Job, now: float) -> float:
    """Return when the next answer will be late."""
    return job.questions.deadline(now, capped=job.means.down.is_pressed(job.wish.manifest))


def _ask(job: Job, now: float) -> None:
    """Ask for what of the metadata can be asked for now. A mirror only helps out, unless there are no peers."""
    ready = {
        state.asked: state
        for state in sorted(job.links.values(), key=lambda state: state.provider.failures)
        if state.held is not None and not state.asked.gone
    }
    peers = [asked for asked, state in ready.items() if not state.provider.is_mirror]
    mirrors = [asked for asked, state in ready.items() if state.provider.is_mirror]
    sharing, helping = (peers, mirrors) if peers else (mirrors, [])
    capped = job.means.down.is_pressed(job.wish.manifest)
    for asked, wanted in job.questions.ask(sharing, helping, now=now, capped=capped):
        ready[asked].link.ask([(each.digest, each.most) for each in wanted])


class Prepared(msgspec.Struct, frozen=True):
    """What the disk is ready for: the arrival, patterns that nothing matches, files that were wanted first and stand at
    their place already."""

    arrival: Arrival
    unmatched: list[Unmatched]
    ready: list[str]


async def begin(job: Job) -> None:
    """The manifest and its lists are here: prepare the disk, then there is something to lease."""
    workers = job.means.workers
    if job.means.make_room is not None and job.readers is None:  # For readers it is made as they come to want more.
        await job.means.make_room(await workers.run(lambda: job.assembly.manifest().bytes_total))
    prepared = await workers.run(partial(_prepare, job))
    arrival = job.arrival = job.syncing.arrival = prepared.arrival
    if job.opened is not None:
        _open(job, arrival)
    table, held = arrival.plan.table, arrival.have
    wanted = RangeSet.whole(len(table)) if job.chosen is None else job.chosen.selected.chunks
    if job.readers is not None:
        wanted = RangeSet()  # They will say.
    job.bytes_reused = table.bytes_of(held & wanted)
    _tell_started(job, prepared, table.bytes_of(wanted))
    held |= await _take_what_is_here(job, arrival, wanted)
    # Readers may want it soon: where there is so little that its beginning was pushed, it is most likely all of it.
    held |= await _take_prefix(job, arrival, (wanted if job.readers is None else RangeSet.whole(len(table))) - held)
    job.kin = await workers.run(lambda: files_alone(job.assembly.manifest(), table, wanted - held))
    _begin_session(job, arrival, held, wanted)


def _prepare(job: Job) -> Prepared:
    """Begin the arrival, of what was chosen. Blocks. Raises HubError."""
    wish, store = job.wish, job.means.store
    store.put_blobs(job.assembly.take_new())
    manifest, table = job.assembly.manifest(), job.assembly.table()
    unmatched = job.awaited.begin(manifest, table)
    if job.choosing is not None:
        from p2phub.engine.layouts import known_layouts  # As `choosing`: most fetches do without.

        layouts = known_layouts(manifest, store) if job.choosing.needs_layouts else {}
        job.chosen = job.choosing.choose(manifest, table, layouts)
        unmatched += job.chosen.unmatched
    elif wish.mend is not None and len(wish.mend) < table.files:
        from p2phub.engine.choosing import whole_files

        job.chosen = whole_files(wish.mend, table)
    selected = None if job.chosen is None else job.chosen.selected
    judge = None if wish.allow_unsafe else danger_of
    if job.readers is not None:
        from p2phub.engine.readers import NOTHING

        selected, judge = NOTHING, None
    arrival = store.arrive(
        manifest,
        wish.manifest,
        table,
        wish.destination,
        force=wish.force,
        selected=selected,
        judge=judge,
        link=wish.link,
    )
    if judge is not None:
        job.suspects.begin(manifest, table, arrival, selected)
    return Prepared(arrival, unmatched, job.awaited.take_ready(arrival))


def _tell_started(job: Job, prepared: Prepared, bytes_total: int) -> None:
    manifest = job.wish.manifest.text(Codec.MSGPACK)
    job.watch(Started(job.wish.reference, manifest, bytes_total=bytes_total, bytes_held=job.bytes_reused))
    for each in prepared.unmatched:
        job.watch(each)
    tell_ready(job.watch, prepared.ready)


async def _take_prefix(job: Job, arrival: Arrival, missing: RangeSet) -> RangeSet:
    """Write what the first answer brought of what is `missing`. Returns which chunks. Raises DiskError."""
    useful = [(chunk, data) for chunk, data in job.prefix if chunk in missing]
    job.prefix = ()
    if not useful:
        return RangeSet()

    def write() -> RangeSet:
        for chunk, data in useful:
            arrival.write(chunk, data)
        return RangeSet.from_indices(chunk for chunk, _ in useful)

    written = await job.means.workers.run(write)
    arrival.verified(written)
    return written


def _begin_session(job: Job, arrival: Arrival, held: RangeSet, wanted: RangeSet) -> None:
    """Let there be something to lease: what is `wanted` of the table and not `held`."""
    table, now = arrival.plan.table, trio.current_time()
    job.session = Session(table, held, wanted=wanted, standings=job.standings, backlog=job.syncing.backlog, now=now)
    for state in job.links.values():
        job.questions.left(state.asked)  # What may still come is not needed any more, and nobody's fault.
    job.begun.set()
    if job.means.exchange is not None:
        job.session.spread(job.means.own, ())
    job.want_soon()
    job.bytes_before = table.bytes_of(held & wanted)
    job.meter.here_already(job.bytes_before, now=now)
    job.others.enter_context(among_others(job, arrival))
    if job.readers is not None:
        job.readers.begin(job)


async def _take_what_is_here(job: Job, arrival: Arrival, wanted: RangeSet) -> RangeSet:
    """Copy what other files of this disk have of what is wanted. Returns which chunks. Raises DiskError."""
    table, before = arrival.plan.table, job.bytes_reused
    missing = wanted - arrival.have

    def tell(copied_bytes: int) -> None:
        job.watch(Progress(bytes_verified=before + copied_bytes, bytes_per_s=0.0))

    store, workers, wish = job.means.store, job.means.workers, job.wish
    if wish.mend is None:
        copied = await reuse(arrival, lambda: store.local(table, missing), workers=workers, tell=tell)
    else:
        manifest = job.assembly.manifest()
        here = partial(damaged_copies, manifest, table, missing, wish.destination, store)
        copied = await reuse(arrival, here, workers=workers, tell=tell)
        rest = missing - copied
        copied |= await reuse(arrival, lambda: distrusted(store.local(table, rest)), workers=workers, tell=tell)
    job.bytes_reused += table.bytes_of(copied)
    return copied


def _open(job: Job, arrival: Arrival) -> None:
    """Have tensors told of as they come, in the order asked."""
    from p2phub.engine.opening import Opening, Telling

    assert job.chosen is not None, "who reads tensors says which"
    assert job.opened is not None
    opening = Opening(job.chosen, job.assembly.manifest(), arrival.plan.table)
    job.awaited.in_this_order(opening.runs())
    job.telling = Telling(opening, arrival.read_plan, job.means.workers, job.opened)
    job.telling.note()


async def look_early(job: Job) -> None:
    """Look into files that nobody allowed to be dangerous as soon as enough of them is here."""
    await job.begun.wait()
    assert job.arrival is not None
    await job.suspects.run(job.arrival, job.send)


def join(job: Job, number: LinkId, state: LinkState, now: float) -> None:
    """Let an open link take part in the session."""
    assert job.session is not None
    assert job.arrival is not None
    assert state.held is not None
    # Of one peer's links that answered earlier the news may be newer than this one's answer, and are not told again.
    others = (each.held for each in job.links.values() if each.provider is state.provider and each.held is not None)
    state.held = max((state.held, *others), key=len)
    state.link.use(job.arrival.plan, None if state.kin is None else job.kin[state.kin])
    job.act(job.session.joined(number, state.link.peer, state.held, now=now))

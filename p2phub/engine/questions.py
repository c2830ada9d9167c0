"""Which link is asked for which of the blobs that describe a manifest: its pages and chunk lists.

Pure: no tasks, sockets or clock. `preparing` says what is missing and who is ready, and carries out what is returned;
`reports` says what came. Nothing can be leased before all is here, so one that keeps us waiting must not hold it up:
what it owes is asked of another as well once it is late. The first copy counts, and the second is nobody's fault.
Source: proto/transfer.md §5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice

from p2phub import limits
from p2phub.content import Digest
from p2phub.engine.assembly import Wanted

SILENT_S = 1.0  # Without a whole blob for so long, a link is late,
SILENT_CAPPED_S = limits.STALL_S / 2  # or for so long while our own cap bounds all: what it lacks may be our leave.
GRACE_S = 2.0  # And it is late if what it gave in all, but for this long, was less
RATE_MIN = 4 * limits.RATE_MIN  # than this, bytes/s: who drips small blobs is never silent;
RATE_PART = 4  # or less than this part of the best rate that any link has shown.
MEASURED_S = 0.05  # A rate is measured over this long at least.


class Asked:
    """What one link was asked for, and how it answers. Times are the fetch's; `inf`: not asked yet."""

    def __init__(self) -> None:
        self.owed: dict[Digest, Wanted] = {}  # Needed still: nobody has given it yet.
        self.coming: dict[Digest, int] = {}  # All that it has not given, with its length: what another gave comes, too.
        self.coming_bytes = 0
        self.has_given = False
        self.was_late = False
        self.gone = False
        self._had_more = False  # There was more to ask for than bytes may be under way.
        self.moved_at = math.inf  # When it was asked, or gave one.
        self._began_at = math.inf
        self._due_at = math.inf
        self._bytes_given = 0  # Since then.

    def is_stalled(self, now: float) -> bool:
        """Whether it has owed an answer for so long without a blob that it is to be let go of."""
        return bool(self.coming) and now - self.moved_at > limits.STALL_S

    def late_at(self, *, capped: bool) -> float:
        """Return when it is late, if nothing comes until then."""
        if not self.coming:
            return math.inf
        if capped:
            return self.moved_at + SILENT_CAPPED_S
        return min(self.moved_at + SILENT_S, self._due_at)

    @property
    def has_room(self) -> bool:
        """Whether it may be asked for more. Of small blobs when all have come: a link that waits for an answer says
        nothing meanwhile, so who asks for little while much comes gets the next answer a round trip later."""
        return not self.coming or (self._had_more and self.coming_bytes <= limits.BLOBS_ASKED_BYTES_MAX // 2)

    def fitting(self, wanted: Iterable[Wanted]) -> list[Wanted]:
        """Return the first of `wanted` that it may be asked for now."""
        if not self.has_room:
            return []
        fitting: list[Wanted] = []
        most = limits.BLOBS_ASKED_MAX if self.has_given else limits.BLOBS_PER_REQUEST_MAX
        room_bytes = limits.BLOBS_ASKED_BYTES_MAX - self.coming_bytes
        self._had_more = False
        for each in islice(wanted, most - len(self.coming)):
            room_bytes -= each.length
            if room_bytes < 0 and (fitting or self.coming):
                self._had_more = True
                break
            fitting.append(each)
        return fitting

    def take(self, wanted: Sequence[Wanted], now: float) -> None:
        """Note that it is asked for `wanted` now."""
        if not self.coming:
            self.moved_at = self._began_at = now
            self._bytes_given = 0
        if not self.owed:
            self._due_at = now + GRACE_S
        self.owed |= {each.digest: each for each in wanted}
        self.coming |= {each.digest: each.length for each in wanted}
        self.coming_bytes += sum(each.length for each in wanted)

    def gave(self, digests: Iterable[Digest], rate: float, now: float) -> float:
        """Note what came of it, where `rate` is asked of it at least; return its rate."""
        given = sum(self.coming.pop(digest, 0) for digest in digests)
        self.coming_bytes -= given
        self.has_given = True
        self.moved_at = now
        # What it gave quickly at first buys no time for later.
        self._due_at = min(self._due_at + given / rate, now + GRACE_S)
        self._bytes_given += given
        return self._bytes_given / max(now - self._began_at, MEASURED_S)


class Questions:
    """What is to be asked for, and what each link owes, of one stage: pages, then lists, then the lists they name."""

    def __init__(self) -> None:
        self._unasked: dict[Digest, Wanted] = {}
        self._links: list[Asked] = []
        self._best_rate = 0.0

    @property
    def open(self) -> bool:
        """Whether something that is wanted has not come yet."""
        return bool(self._unasked) or any(link.owed for link in self._links)

    def want(self, missing: Sequence[Wanted]) -> None:
        """Say what is missing now: all, and no more."""
        needed = {each.digest: each for each in missing}
        self._unasked = dict(needed)
        for link in self._links:
            link.owed = {digest: each for digest, each in link.owed.items() if digest in needed}
            for digest in link.owed:
                self._unasked.pop(digest, None)

    def came(self, link: Asked, digests: Iterable[Digest], *, now: float) -> None:
        """Note blobs that `link` was asked for."""
        rate = max(RATE_MIN, self._best_rate / RATE_PART)
        self._best_rate = max(self._best_rate, link.gave(digests, rate, now))
        for digest in digests:
            self._unasked.pop(digest, None)
            for each in self._links:
                each.owed.pop(digest, None)

    def left(self, link: Asked) -> None:
        """Ask nothing more of `link`; what it alone owed is to be asked for again."""
        link.gone = True
        if link not in self._links:
            return
        self._links.remove(link)
        owed = {digest: each for digest, each in link.owed.items() if not any(digest in o.owed for o in self._links)}
        self._unasked = owed | self._unasked
        link.owed, link.coming, link.coming_bytes = {}, {}, 0

    def deadline(self, now: float, *, capped: bool) -> float:
        """Return when the next link will be late."""
        return min((at for link in self._links if (at := link.late_at(capped=capped)) > now), default=math.inf)

    def ask(
        self, sharing: Sequence[Asked], helping: Sequence[Asked] = (), *, now: float, capped: bool = False
    ) -> list[tuple[Asked, list[Wanted]]]:
        """Return what to ask of whom now. `sharing` share what nobody was asked for, `helping` are asked only for what
        is late; `capped`: our own cap bounds what comes."""
        links = [*sharing, *helping]
        late = [link for link in links if now >= link.late_at(capped=capped)]
        for link in late:
            link.was_late = True
        asked = self._share(sharing, late, now)
        if late and not self._unasked:
            asked += _ask_again([link for link in links if link not in late], late, now)
        for link, _ in asked:
            if link not in self._links:
                self._links.append(link)
        return asked

    def _share(self, sharing: Sequence[Asked], late: Sequence[Asked], now: float) -> list[tuple[Asked, list[Wanted]]]:
        if not self._unasked or not sharing:
            return []
        # One that was late gets no more while others do better, or each stage would begin with waiting for it.
        takers = [link for link in sharing if not link.was_late] or [link for link in sharing if link not in late]
        takers = takers or list(sharing)
        share = max(limits.BLOBS_PER_REQUEST_MAX, -(-len(self._unasked) // len(takers)))
        asked = []
        for link in takers:
            if wanted := link.fitting(islice(self._unasked.values(), share)):
                link.take(wanted, now)
                asked.append((link, wanted))
                for each in wanted:
                    del self._unasked[each.digest]
        return asked


def _ask_again(on_time: Sequence[Asked], late: Sequence[Asked], now: float) -> list[tuple[Asked, list[Wanted]]]:
    """Ask those that are on time for what only late ones owe, from the end: the late one goes on from the beginning."""
    ready = [link for link in on_time if link.has_room]
    if not ready:
        return []
    soon = {digest for link in on_time for digest in link.owed}
    open_ = {each.digest: each for link in late for each in reversed(link.owed.values()) if each.digest not in soon}
    asked = []
    # Who has proved itself first: whoever has not may be as bad, and others like it may come one after the other.
    for link in sorted(ready, key=lambda link: (link.was_late, not link.has_given)):
        if wanted := link.fitting(each for each in open_.values() if each.digest not in link.coming):
            link.take(wanted, now)
            asked.append((link, wanted))
            for each in wanted:
                del open_[each.digest]
    return asked

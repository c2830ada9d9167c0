"""How a fetch waits while nobody is there who has what it needs: when it looks again, and what it says of that.

For the first minute, in which whoever only restarts is back, it looks again soon; then after as long as it has waited
by then, 1, 2, 4 … minutes, at most AGAIN_S_MAX: so whoever is away for long is found late, and costs nobody anything
meanwhile. How long it waits at most, the user may say (`--wait`); what holds where they did not, `patience` decides.
Source: docs/decisions/0050-engine.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from p2phub.errors import HubError
from p2phub.observe import Waiting, Watch

QUICK_S = 60.0  # So long it is looked again soon.
SOON_S = 1.0  # Then this at first, doubled
SOON_DOUBLED_MAX = 4  # so often.
AGAIN_S_MAX = 1800.0


def soon_s(rounds: int) -> float:
    """Return how long to leave it alone after so many looks, at first."""
    return SOON_S * 2.0 ** min(rounds, SOON_DOUBLED_MAX)


def pause_s(rounds: int, *, waited_s: float) -> float:
    """Return how long to leave it alone after so many looks, `waited_s` after it was found that nobody is there."""
    return soon_s(rounds) if waited_s < QUICK_S else min(waited_s, AGAIN_S_MAX)


def lasting(seconds: float) -> str:
    """Write a time of which nobody needs to know more: `45 s`, `12 min`, `21 h 30 min`, `3 d 2 h`."""
    if seconds < 99.5:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    hours = minutes // 60
    if hours < 2:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def says_waiting(why: str, *, again_s: float, left_s: float) -> Waiting:
    """Return what to tell of a wait: `why`, when it is looked again, and how long it goes on; math.inf: without end."""
    return Waiting(reason=why, next=says_next(again_s, left_s))


def says_next(again_s: float, left_s: float) -> str:
    """Say when it is looked again, 0: now, and how long the wait goes on; math.inf: without end."""
    look = f"looks again in {lasting(again_s)}" if again_s > 0 else "looks now"
    if left_s == math.inf:
        return f"{look}, never gives up"
    return f"{look}, gives up in {lasting(left_s)}" if left_s > 0 else f"{look}, gives up if that finds nobody"


def nobody_has_it(away: Sequence[str]) -> str:
    """Say that nobody has what is missing; `away` are those who may have it when they are back, the likeliest first."""
    if not away:
        return "nobody is known to have what is missing"
    more = f" and {len(away) - 1} more" if len(away) > 1 else ""
    return f"nobody who is there has what is missing; away, or without an answer: {away[0]}{more}"


def ended(error: HubError, *, wait_s: float | None, waited_s: float) -> HubError:
    """Return `error`, which ends a fetch that waited for `waited_s`, with that and what the user can do about it.

    `wait_s` is what they asked for, None if they did not.
    """
    waited = f"; waited {lasting(waited_s)}" if wait_s else ""
    advice = "with --wait 24h it waits for somebody who has it" if not wait_s else "a longer --wait waits on"
    joint = " " if error.hint and error.hint.endswith("?") else "; "
    return type(error)(error.message + waited, hint=f"{error.hint}{joint}{advice}" if error.hint else advice)


class Looks:
    """The looks for something that nobody tells of yet, one after the other, for at most `wait_s` from now."""

    def __init__(self, wait_s: float | None, watch: Watch) -> None:
        self._wait_s = wait_s
        self._watch = watch
        self._began = trio.current_time()
        self._rounds = 0

    @property
    def waits(self) -> bool:
        """Whether there is more than one of them."""
        return bool(self._wait_s)

    async def pause(self, error: HubError) -> None:
        """Return when it is time to look again after one that ended so. Raises `error` if it is past the limit."""
        waited_s = trio.current_time() - self._began
        left_s = (self._wait_s or 0.0) - waited_s
        if left_s <= 0:
            raise ended(error, wait_s=self._wait_s, waited_s=waited_s)
        again_s = min(pause_s(self._rounds, waited_s=waited_s), left_s)
        if not self._rounds or waited_s >= QUICK_S:  # In between it is soon.
            self._watch(says_waiting(error.message, again_s=again_s, left_s=left_s))
        self._rounds += 1
        await trio.sleep(again_s)

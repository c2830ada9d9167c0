"""The speeds and sizes to reach, and whether a run reached them. Ratios are of medians, within one run.

The numbers and the list of all targets stand here; how one is judged of races in `raced`, of what the simulator
answered in `simulated`, of the store in `stored`, and what a verdict is in `verdict`. A target that belongs to a race
is met only if none of p2phub's own trials in it failed: a fetch that does not arrive has no speed.
"""

from collections.abc import Mapping

from benchmarks.alone import Alone
from benchmarks.gateway import fetched, first, readers
from benchmarks.gateway import held as gateway_held
from benchmarks.plan import BUSY
from benchmarks.race import CrowdRace, Race
from benchmarks.simulated import Simulated
from benchmarks.store import Stored, adopt, changed, readme, reflink, reuse, tensors, terabyte
from benchmarks.targets.raced import at_most, copies, held, ideals_at_most, memory, publish, rates, search, sum_of_caps
from benchmarks.targets.simulated import of_bound, riders_are_later, wall, worst
from benchmarks.targets.stored import most, share, times
from benchmarks.targets.verdict import Kind, Verdict

MEMORY_BYTES_MAX = 256_000_000
LIBTORRENT_RATE_MIN, LIBTORRENT_RATE_GOAL = 2.5, 3.0
CURL_RATE_MIN = 1.2
BARE_RATE_MIN, BARE_RATE_GOAL = 0.6, 0.7
RSYNC_RATE_GOAL = 1.0
BUSY_RATE_MIN = 0.5
SMALL_RSYNC_RATE_MIN = 1.5
SMALL_LIBTORRENT_RATE_MIN = 4.0
MANY_RATE_MIN = 0.9  # of the sum of the caps
SWARM_IDEALS_MAX = 1.25
SWARM_COPIES_MAX = 1.2
CAPPED_IDEALS_MAX = 1.05
PUBLISH_RATE_MIN = 0.8
HELP_S_MAX = 0.2
COLLECT_DRY_S_MAX = 10.0  # Of 100,000 pins and ten million chunks.
LOOKUP_US_MAX = 50.0
SEARCH_MS_MAX = 50.0  # Of each kind of question among a million.
COLD_FETCH_S_MAX = 0.3
OF_BOUND_MIN = 0.8  # T* = (F/u)(1 + floor(log2 N)/M)
POISONERS_COST_MAX = 1.3
TARPITS_COST_MAX = 1.5
RIDERS_COST_MAX = 1.25
COLD_ROUND_TRIPS_MAX = 6.0
SIMULATED_ENGINE_S_MAX = 20.0
SIMULATED_MILLION_S_MAX = 60.0
ADOPT_WALK_S_MAX = 2.0
ADOPT_RATE_MIN = 0.8
CHANGED_PERCENT_MAX = 1.5
SAME_PERCENT_MAX = 0.5
README_S_MAX = 1.0
REUSE_RATE_MIN = 0.7
REFLINK_COST_MAX = 1.5  # A larger copy over one of a sixteenth: constant time, but for what two starts scatter by.
REFLINK_TAKEN_PERCENT_MAX = 1.0
TENSORS_BEYOND_MIB_MAX = 2
TENSORS_FIRST_MAX = 2
TERABYTE_MB_MAX = 512
GATEWAY_CURL_RATE_MIN = 0.6
GATEWAY_HUB_RATE_MIN = 0.9
GATEWAY_COST_MAX = 1.25
GATEWAY_FIRST_ROUND_TRIPS_MAX = 6
GATEWAY_READERS_MB_MAX = 100

__all__ = ["Kind", "Verdict", "judge"]


def judge(
    races: Mapping[str, Race], crowds: Mapping[str, CrowdRace], alone: Alone, simulated: Simulated, stored: Stored
) -> list[Verdict]:
    """Hold every target against the races, by their names in `plan`, against what p2phub did alone, what the simulator
    answered, and what the store did.
    """
    return [
        *_one_provider(races),
        *_crowds(crowds),
        *_alone(races, alone),
        *_stored(stored),
        *_gateway(stored),
        *_simulated(simulated),
    ]


def _one_provider(races: Mapping[str, Race]) -> list[Verdict]:
    four, small, cold = (races.get(name) for name in ("four", "small", "cold"))
    return [
        *rates("four", four, "libtorrent", LIBTORRENT_RATE_MIN),
        *rates("four", four, "libtorrent", LIBTORRENT_RATE_GOAL, kind=Kind.GOAL),
        *rates("four", four, "curl", CURL_RATE_MIN),
        *rates("four", four, "rsync", RSYNC_RATE_GOAL, kind=Kind.GOAL),
        *rates("four", four, "bare", BARE_RATE_MIN),
        *rates("four", four, "bare", BARE_RATE_GOAL, kind=Kind.GOAL),
        *rates("four", four, "bare", BUSY_RATE_MIN, own=BUSY),
        *rates("small", small, "rsync", SMALL_RSYNC_RATE_MIN),
        *rates("small", small, "libtorrent", SMALL_LIBTORRENT_RATE_MIN),
        at_most("cold", cold, "start to exit", COLD_FETCH_S_MAX),
    ]


def _crowds(crowds: Mapping[str, CrowdRace]) -> list[Verdict]:
    swarm = crowds.get("swarm")
    return [
        ideals_at_most("swarm", swarm, SWARM_IDEALS_MAX),
        copies("swarm", swarm, SWARM_COPIES_MAX),
        ideals_at_most("capped", crowds.get("capped"), CAPPED_IDEALS_MAX),
        *sum_of_caps("many", crowds.get("many"), MANY_RATE_MIN),
    ]


def _alone(races: Mapping[str, Race], alone: Alone) -> list[Verdict]:
    large = [race for name in ("four", "one") if (race := races.get(name)) is not None]
    return [
        memory("provider", large, lambda trial: trial.provider_peak_bytes, MEMORY_BYTES_MAX),
        memory("requester", large, lambda trial: trial.requester_peak_bytes, MEMORY_BYTES_MAX),
        *publish(alone, PUBLISH_RATE_MIN, HELP_S_MAX),
        *held(alone.held, COLLECT_DRY_S_MAX, LOOKUP_US_MAX),
        *search(alone.search, SEARCH_MS_MAX),
    ]


def _stored(stored: Stored) -> list[Verdict]:
    return [
        most(stored, "adopt", adopt.WALK, ADOPT_WALK_S_MAX),
        share(stored, "adopt", "rate vs hashing once, 4 files", adopt.LARGE_ONCE, adopt.LARGE, ADOPT_RATE_MIN),
        share(
            stored,
            "adopt",
            "rate vs hashing once, small files",
            adopt.SMALL_ONCE,
            adopt.SMALL,
            ADOPT_RATE_MIN,
            kind=Kind.GOAL,  # What each file costs beside its bytes, and that it is noted, weighs more here.
        ),
        most(stored, "changed", changed.TUNED, CHANGED_PERCENT_MAX),
        *(most(stored, "changed", same, SAME_PERCENT_MAX) for same in changed.SAME),
        most(stored, "readme", readme.AGAIN, README_S_MAX),
        # `cp` has hashed nothing and synced nothing by then: the next one is of the same work.
        share(stored, "reuse", "rate vs cp, copied", reuse.CP_COPIED, reuse.COPIED, REUSE_RATE_MIN, kind=Kind.GOAL),
        share(stored, "reuse", "rate vs cp, synced", reuse.CP_SYNCED, reuse.SYNCED, REUSE_RATE_MIN),
        *(verdict for kind in reflink.KINDS for verdict in _reflink(stored, kind)),
        most(stored, "tensors", tensors.BEYOND, TENSORS_BEYOND_MIB_MAX),
        times(stored, "tensors", "first of all, x one alone", tensors.FIRST, tensors.ALONE, TENSORS_FIRST_MAX),
        *(most(stored, "terabyte", label, TERABYTE_MB_MAX) for label in terabyte.LABELS),
    ]


def _reflink(stored: Stored, kind: str) -> list[Verdict]:
    large, small = reflink.large(kind), reflink.small(kind)
    return [
        times(stored, "reflink", f"{kind}, x the time of 1/{reflink.TIMES} of it", large, small, REFLINK_COST_MAX),
        most(stored, "reflink", reflink.taken(kind), REFLINK_TAKEN_PERCENT_MAX),
    ]


def _gateway(stored: Stored) -> list[Verdict]:
    return [
        share(
            stored,
            "gw-curl",
            "rate vs nginx without TLS",
            gateway_held.NGINX,
            gateway_held.GATEWAY,
            GATEWAY_CURL_RATE_MIN,
        ),
        share(
            stored,
            "gw-hub",
            "rate vs nginx without TLS",
            gateway_held.NGINX,
            gateway_held.GATEWAY,
            GATEWAY_HUB_RATE_MIN,
        ),
        times(
            stored, "gw-fetched", "x `fetch`, beyond the client's own", fetched.BEYOND, fetched.FETCH, GATEWAY_COST_MAX
        ),
        most(stored, "gw-first", first.ROUND_TRIPS, GATEWAY_FIRST_ROUND_TRIPS_MAX),
        most(stored, "gw-readers", readers.UNSERVED, 0),
        most(stored, "gw-readers", readers.MEMORY, GATEWAY_READERS_MB_MAX),
    ]


def _simulated(simulated: Simulated) -> list[Verdict]:
    return [
        of_bound(simulated, "crowd-engine", OF_BOUND_MIN),
        wall(simulated, "crowd-engine", SIMULATED_ENGINE_S_MAX),
        of_bound(simulated, "crowd-sessions", OF_BOUND_MIN),
        of_bound(simulated, "crowd-sessions-many", OF_BOUND_MIN),
        of_bound(simulated, "crowd-few", OF_BOUND_MIN),
        wall(simulated, "crowd-many", SIMULATED_MILLION_S_MAX),
        worst(simulated, "riders", RIDERS_COST_MAX),
        riders_are_later(simulated),
        worst(simulated, "poisoners", POISONERS_COST_MAX),
        worst(simulated, "tarpits", TARPITS_COST_MAX),
        worst(simulated, "cold", COLD_ROUND_TRIPS_MAX),
    ]

"""Which caps hold: what the configuration, the schedule and `limit` say, and what jobs bring with them."""

from __future__ import annotations

from datetime import datetime, timedelta

from p2phub import limits
from p2phub.content import Digest
from p2phub.net.throttle import Caps
from p2phub.node.capping import Capping, JobCaps
from p2phub.node.rates import Rates
from p2phub.node.schedule import parse_schedule

NIGHT = datetime(2026, 3, 2, 3, 0)  # noqa: DTZ001  # A wall clock has no zone.
DAY = NIGHT + timedelta(hours=9)
OFFICE = parse_schedule([{"from": "08:00", "to": "18:00", "up": "2MB"}])
ONE, TWO = Digest(b"1" * 32), Digest(b"2" * 32)


def rates(caps: Caps) -> Rates:
    up, down = caps.up.rate, caps.down.rate
    return Rates(None if up is None else int(up), None if down is None else int(down))


def test_what_is_configured_holds_from_the_start() -> None:
    caps = Caps()
    capping = Capping(caps, Rates(5_000_000, 6_000_000))
    assert rates(caps) == Rates(5_000_000, 6_000_000)
    assert not capping.by_schedule


def test_the_schedule_is_applied_and_taken_back() -> None:
    caps = Caps()
    capping = Capping(caps, Rates(None, 6_000_000), OFFICE)
    capping.look(DAY, {})
    assert rates(caps) == Rates(2_000_000, 6_000_000)
    assert capping.by_schedule
    capping.look(NIGHT, {})
    assert rates(caps) == Rates(None, 6_000_000)


def test_what_was_set_by_hand_holds_until_the_schedule_changes_next() -> None:
    caps = Caps()
    capping = Capping(caps, Rates(), OFFICE)
    capping.look(DAY, {})
    capping.limit_node(up=None, down=1_000_000)
    capping.look(DAY + timedelta(minutes=1), {})
    assert rates(caps) == Rates(None, 1_000_000)
    assert not capping.by_schedule
    capping.look(DAY + timedelta(hours=6), {})
    assert rates(caps) == Rates()


def test_a_jobs_caps_hold_while_it_runs_and_can_be_changed() -> None:
    caps = Caps()
    capping = Capping(caps, Rates(down=8_000_000))
    capping.admit(0, JobCaps(ONE, Rates(up=100_000, down=1_000_000)))
    assert (caps.up.rate_of(ONE), caps.down.rate_of(ONE)) == (100_000, 1_000_000)
    assert caps.down.rate_of(TWO) == 8_000_000
    capping.limit_job(0, down=2_000_000)
    assert (caps.up.rate_of(ONE), caps.down.rate_of(ONE)) == (100_000, 2_000_000)
    capping.forget(0)
    assert (caps.up.rate_of(ONE), caps.down.rate_of(ONE)) == (None, 8_000_000)
    assert not caps.up.is_limited


def test_of_two_jobs_of_one_manifest_the_lower_cap_holds_until_its_job_ends() -> None:
    caps = Caps()
    capping = Capping(caps, Rates())
    capping.admit(0, JobCaps(ONE, Rates(down=1_000_000)))
    capping.admit(1, JobCaps(ONE, Rates(down=3_000_000)))
    assert caps.down.rate_of(ONE) == 1_000_000
    capping.forget(0)
    assert caps.down.rate_of(ONE) == 3_000_000


def test_under_a_cap_of_the_node_a_background_job_has_a_small_share_and_no_cap() -> None:
    caps = Caps()
    capping = Capping(caps, Rates(down=8_000_000))
    capping.admit(0, JobCaps(ONE, Rates(), background=True))
    capping.admit(1, JobCaps(TWO, Rates()))
    assert caps.down.flow(ONE).background
    assert not caps.down.flow(TWO).background
    assert caps.down.rate_of(ONE) == 8_000_000


def test_without_a_cap_a_background_job_gets_a_part_of_what_others_move_and_all_when_they_are_done() -> None:
    caps = Caps()
    capping = Capping(caps, Rates())
    capping.admit(0, JobCaps(ONE, Rates(), background=True))
    capping.look(DAY, {0: 90e6})
    assert caps.down.rate_of(ONE) is None, "nobody to yield to"
    capping.admit(1, JobCaps(TWO, Rates()))
    assert caps.down.rate_of(ONE) == limits.CAP_MIN, "it makes room at once"
    capping.look(DAY, {0: 1e6, 1: 80e6})
    assert caps.down.rate_of(ONE) == 5e6
    assert caps.down.rate_of(TWO) is None
    capping.forget(1)
    capping.look(DAY, {0: 5e6})
    assert caps.down.rate_of(ONE) is None


def test_the_background_keeps_its_own_cap_where_that_is_lower() -> None:
    caps = Caps()
    capping = Capping(caps, Rates())
    capping.admit(0, JobCaps(ONE, Rates(down=100_000), background=True))
    capping.admit(1, JobCaps(TWO, Rates()))
    capping.look(DAY, {1: 80e6})
    assert caps.down.rate_of(ONE) == 100_000

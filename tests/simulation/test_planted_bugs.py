"""Bugs that are planted on purpose are found: only so does a green run of the simulator mean anything.

Each is found by one sentence of the judge, in a run in which the judge finds nothing without it: a run that breaks for
another reason does not count. By kind of rule, in the order of the table:

- *What is signed*: only right bytes are counted, offered, or left at their place (the picker says done too early: that
  an assertion of the engine finds).
- *Guilt*: whoever is banned or said to have lied is a liar, and a liar is not asked again.
- *The end*: every fetch ends, with success where there is a way to it.
- *Names*: nobody who was told of a release believes an older one, and of two with one number there is proof.
- *Waste and load*: what came in vain, what is under way, how often somebody is dialled, how long nothing is synced, a
  busy loop, connections that nobody lets go of.
- *Who does the work*: near before far before metered, those who give before those who do not; nobody who reads along
  waits for long; the rate that the scenario promises.
- *What is told*: progress and who sent how much are true.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from simnet.batch import Job, run_one
from simnet.bugs import PLANTS
from tests.support.runs import assert_nothing_is_wrong


@dataclass(frozen=True)
class Found:
    """In the run of a scenario from a seed the judge says a sentence in which the pattern `says` is found.

    `nodes`: with how many members, where it is not found with as many as the scenario is told with, or a run of fewer
    is there already.
    """

    scenario: str
    seed: int
    says: str
    nodes: int | None = None

    @property
    def job(self) -> Job:
        return self.scenario, self.seed, self.nodes


NEVER_ENDS = "the fetch has not ended within"
NO_PROVIDER = "the fetch ended with NoProvider: no provider of .* can give what is missing"
IN_VAIN = r"bytes came where \d+ were needed"

FOUND_BY = {
    # What is signed.
    "believe-a-full-disk": Found("disk_full", 1, r"bob counts chunk \d+ as verified, but other bytes are on its disk"),
    "journal-before-the-data": Found(
        "power_cut", 10, r"bob goes on as if it had chunk \d+, but other bytes are on its disk"
    ),
    "report-before-the-write": Found("one_provider", 1, "bob counts chunk 0 as verified, but nothing is on its disk"),
    "say-done-too-early": Found("one_provider", 1, r"AssertionError: finish\(\) before every chunk was verified"),
    "skip-the-digest-check": Found("poisoners_30", 1, "as verified, but other bytes are on its disk", 7),
    "trust-hints-after-a-crash": Found(
        "requester_crash", 1, r"bob goes on as if it had chunk \d+, but other bytes are on its disk"
    ),
    "write-at-the-wrong-place": Found("one_provider", 1, "as verified, but other bytes are on its disk"),
    # Guilt.
    "ban-the-neighbours": Found("many_keys", 1, "bob has banned k1, who is honest"),
    "ban-whoever-fails": Found("provider_restart", 1, "bob has banned ann, who is honest"),
    "blame-whoever-goes": Found("mixed_faults", 1, "bob says that killed, who is honest, lied"),
    "forget-the-ban": Found("poisoners_30", 1, r"bob dials p\d again, of whom it has a proof that it lies", 7),
    "serve-a-changed-file": Found("file_changes", 1, "bob says that ann, who is honest, lied: chunk .* its digest"),
    # The end.
    "ask-for-blobs-forever": Found("one_provider", 1, NEVER_ENDS),
    "give-up-at-once": Found("provider_restart", 1, NO_PROVIDER),
    "keep-who-is-of-no-use": Found("false_provider", 2, NO_PROVIDER, 21),
    "lose-what-a-dead-link-had": Found("provider_restart", 1, NEVER_ENDS),
    "lose-what-is-revoked": Found("four_providers", 1, NEVER_ENDS),
    "name-no-providers": Found("real_dht", 1, "the fetch ended with NoProvider: nobody is known to have", 7),
    "never-pick-the-last-chunk": Found("one_provider", 1, NEVER_ENDS),
    "rest-for-ever": Found("provider_restart", 1, NO_PROVIDER),
    "stop-the-stall-clock": Found("mixed_faults", 1, NEVER_ENDS),
    "wait-for-who-cannot-be-reached": Found("nat", 0, NEVER_ENDS, 16),
    # Names.
    "believe-whoever-answers-last": Found("rollback_publisher", 1, "believes release 1 .*, and not release 2"),
    "forget-what-was-believed": Found("rollback_publisher", 1, "believes release 1 .*, and not release 2"),
    "hide-a-contradiction": Found("rollback_publisher", 1, "has no proof of a contradiction of the publisher"),
    # Waste and load.
    "begin-anew-each-time": Found("cancel_storm", 1, IN_VAIN, 3),
    "hammer-who-is-gone": Found("provider_restart", 1, r"bob hammers ann: \d+ dials in a minute"),
    "ignore-the-window": Found("one_provider", 3, r"bob has \d+ bytes under way from ann, more than the window"),
    "leave-connections-open": Found("one_provider", 1, "a connection of bob to ann was never let go of"),
    "leave-links-open-when-cancelled": Found("cancel_storm", 1, "still has connections to .* after its fetch", 3),
    "never-sync": Found("provider_restart", 1, r"bob has not synced for [\d.]+ s what it verified"),
    "pick-twice": Found("one_provider", 1, IN_VAIN),
    "take-back-in-vain": Found("tarpits_50", 2, "a busy loop"),
    "try-all-keys-of-a-liar": Found("many_keys", 2, IN_VAIN, 24),
    # Who does the work.
    "forget-what-is-read": Found("reader", 2, "bob could read no further than chunk"),
    "keep-every-line": Found("near_first", 0, "far0 sent .* of the content, more than .*, though nearer ones had it"),
    "let-readers-wait": Found("reader", 3, "bob could read no further than chunk"),
    "let-them-rest": Found("near_first", 1, "dear sent .* of the content, more than 0.0, though nearer ones had it"),
    "never-ask-again": Found("tarpits_50", 1, "of the best possible speed, where 0.67 is promised"),
    "pay-for-nothing": Found("near_first", 0, "dear sent .* of the content, more than 0.0, though nearer ones had it"),
    "serve-all-alike": Found("free_riders_40", 2, "r0 was done after .* without free riders the last one is after"),
    # What is told.
    "credit-the-wrong-peer": Found("four_providers", 1, r"bob says \d+ bytes came from p\d, of whom it got \d+"),
    "run-progress-backwards": Found("mixed_faults", 1, "bob: progress ran backwards"),
}
"""The run that finds each, and what is said there; a bug without one fails below."""
FOUND_BY_A_JOINT_PLAN = {"lose-what-a-dead-link-had": Found("joint_faults", 3, NEVER_ENDS)}
"""Bugs that a plan of all faults at once finds, too."""
CRASHES = {"say-done-too-early"}
"""Those that an assertion of the engine itself finds."""
JOBS = sorted({found.job for found in (*FOUND_BY.values(), *FOUND_BY_A_JOINT_PLAN.values())}, key=str)


def assert_found(bug: str, found: Found) -> None:
    outcome = run_one(found.job, bugs=(bug,), until_failure=True)
    if bug in CRASHES:
        assert isinstance(outcome, str), f"nothing ended {bug}: {outcome.failures}"
        said = [outcome]
    else:  # Of a patch that does not fit any more there would be a traceback, too.
        assert not isinstance(outcome, str), outcome
        said = outcome.failures
    assert any(re.search(found.says, sentence) for sentence in said), f"nobody noticed {bug}, but: {said}"


@pytest.mark.parametrize("bug", sorted(PLANTS))
def test_a_planted_bug_is_found(bug: str) -> None:
    assert_found(bug, FOUND_BY[bug])


@pytest.mark.parametrize("bug", sorted(FOUND_BY_A_JOINT_PLAN))
def test_a_joint_plan_of_faults_finds_a_planted_bug(bug: str) -> None:
    assert_found(bug, FOUND_BY_A_JOINT_PLAN[bug])


@pytest.mark.parametrize("job", JOBS, ids=str)
def test_without_the_bug_nothing_is_wrong_there(job: Job) -> None:
    assert_nothing_is_wrong(job)

"""Bugs that are planted on purpose are found: only so does a green run of the simulator mean anything."""

from __future__ import annotations

import pytest

from simnet.batch import run_one
from simnet.bugs import PLANTS

FOUND_BY = {
    "ask-for-blobs-forever": ("one_provider", 1),
    "ban-the-neighbours": ("many_keys", 1),
    "ban-whoever-fails": ("provider_restart", 1),
    "begin-anew-each-time": ("cancel_storm", 1),
    "believe-whoever-answers-last": ("rollback_publisher", 1),
    "believe-a-full-disk": ("disk_full", 1),
    "blame-whoever-goes": ("mixed_faults", 1),
    "credit-the-wrong-peer": ("four_providers", 1),
    "forget-the-ban": ("poisoners_30", 1),
    "forget-what-is-read": ("reader", 2),
    "forget-what-was-believed": ("rollback_publisher", 1),
    "give-up-at-once": ("provider_restart", 1),
    "hammer-who-is-gone": ("provider_restart", 1),
    "hide-a-contradiction": ("rollback_publisher", 1),
    "ignore-the-window": ("one_provider", 3),
    "journal-before-the-data": ("power_cut", 7),
    "keep-every-line": ("near_first", 0),
    "keep-who-is-of-no-use": ("false_provider", 2),
    "leave-connections-open": ("one_provider", 1),
    "leave-links-open-when-cancelled": ("cancel_storm", 1),
    "let-readers-wait": ("reader", 3),
    "let-them-rest": ("near_first", 1),
    "lose-what-a-dead-link-had": ("provider_restart", 1),
    "lose-what-is-revoked": ("four_providers", 1),
    "name-no-providers": ("real_dht", 1),
    "never-ask-again": ("tarpits_50", 1),
    "never-pick-the-last-chunk": ("one_provider", 1),
    "never-sync": ("provider_restart", 1),
    "pay-for-nothing": ("near_first", 0),
    "pick-twice": ("one_provider", 1),
    "report-before-the-write": ("one_provider", 1),
    "rest-for-ever": ("provider_restart", 1),
    "run-progress-backwards": ("mixed_faults", 1),
    "say-done-too-early": ("one_provider", 1),
    "serve-a-changed-file": ("file_changes", 1),
    "serve-all-alike": ("free_riders_40", 2),
    "skip-the-digest-check": ("poisoners_30", 1),
    "stop-the-stall-clock": ("mixed_faults", 1),
    "take-back-in-vain": ("tarpits_50", 2),
    "trust-hints-after-a-crash": ("requester_crash", 1),
    "try-all-keys-of-a-liar": ("many_keys", 2),
    "wait-for-who-cannot-be-reached": ("nat", 0),
    "write-at-the-wrong-place": ("one_provider", 1),
}
"""The scenario and seed that finds each; a bug without one fails below."""
FOUND_BY_A_JOINT_PLAN = {"lose-what-a-dead-link-had": 3}
"""Bugs that a plan of all faults at once finds, too, and from which seed."""
NODES = {"keep-who-is-of-no-use": 21, "try-all-keys-of-a-liar": 24, "wait-for-who-cannot-be-reached": 16}
"""With how many nodes, where it is not found with as many as the scenario is told with."""
CRASHES = {"say-done-too-early"}
"""Those that an assertion of the engine itself finds."""


@pytest.mark.parametrize("bug", sorted(PLANTS))
def test_a_planted_bug_is_found(bug: str) -> None:
    outcome = run_one((*FOUND_BY[bug], NODES.get(bug)), bugs=(bug,), until_failure=True)
    if bug in CRASHES:
        assert isinstance(outcome, str)
        assert "AssertionError" in outcome
    else:  # Of a patch that does not fit any more there would be a traceback, too.
        assert not isinstance(outcome, str), outcome
        assert outcome.failures, f"nobody noticed {bug}"


@pytest.mark.parametrize(("bug", "seed"), sorted(FOUND_BY_A_JOINT_PLAN.items()))
def test_a_joint_plan_of_faults_finds_a_planted_bug(bug: str, seed: int) -> None:
    outcome = run_one(("joint_faults", seed, None), bugs=(bug,), until_failure=True)
    assert not isinstance(outcome, str), outcome
    assert outcome.failures, f"nobody noticed {bug}"

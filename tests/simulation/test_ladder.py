"""The validation ladder: closed forms, arrays, events, and the production engine, each held against the one below it.

Seeds are fixed, so a test fails when code changes, not now and then. Why each tolerance is what it is:
docs/decisions/0071-models.md.
"""

from __future__ import annotations

import numpy as np
import pytest

from p2phub import limits
from simnet.models import bounds, crowd_arrays, crowd_events, dht_arrays, dht_events
from simnet.models.churn import STILL, Churn, Sessions
from simnet.run import run_scenario

K = limits.DHT_REPLICATION


def chance(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- a crowd: closed form, arrays, events, engine --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requesters", "pieces"), [(1, 1), (1, 64), (2, 16), (8, 64), (100, 64), (1000, 64), (10_000, 64)]
)
def test_no_crowd_of_arrays_beats_the_bound_and_all_come_near_it(requesters: int, pieces: int) -> None:
    best = bounds.broadcast_s(pieces, 1.0, requesters, pieces)
    rounds = crowd_arrays.spread(requesters, pieces, chance()).rounds
    assert best <= rounds <= best / 0.85


def test_no_piece_more_than_doubles_in_a_round_and_no_node_sends_two() -> None:
    spread = crowd_arrays.spread(1000, 64, chance())
    assert all(1 + count <= 2**rounds for rounds, count in enumerate(spread.commonest.tolist()[:10], 1))
    sent = np.diff(spread.delivered, prepend=0.0) * 1000 * 64
    assert sent.max() <= 1001 + 1e-6
    assert spread.delivered[-1] == spread.rarest[-1] / 1000 == 1


def test_in_arrays_a_publisher_alone_with_one_sends_one_copy() -> None:
    assert crowd_arrays.spread(1, 64, chance()).copies == 1


def test_one_session_takes_as_long_as_the_uplink_needs() -> None:
    shape = crowd_events.Shape(1, 64, limits.MIB, finding_s=0.0)
    outcome = crowd_events.Crowd(shape, chance()).run()
    assert outcome.last_s == pytest.approx(shape.content_bytes / shape.publisher_up + 10 * shape.latency_s, rel=0.01)
    assert outcome.copies == 1


def test_sessions_on_modelled_links_stay_between_the_ideal_crowd_and_three_fifths_of_its_speed() -> None:
    shape = crowd_events.Shape(12, 48, limits.MIB, finding_s=0.0, starts_within_s=0.0)
    round_s = shape.piece_bytes / shape.up
    ideal = crowd_arrays.spread(shape.requesters, shape.pieces, chance())
    outcome = crowd_events.Crowd(shape, chance()).run()
    best_s = bounds.broadcast_s(shape.content_bytes, shape.up, shape.requesters, shape.pieces)
    assert best_s <= outcome.last_s
    assert 0.95 * ideal.median_round * round_s <= outcome.median_s <= ideal.median_round * round_s / 0.6
    assert 1 <= outcome.copies <= ideal.copies + 0.6  # No less than all of it has to leave the publisher.


@pytest.mark.parametrize(("publisher_up", "up", "down"), [(4e6, 1e6, 16e6), (2e6, 8e6, 16e6), (16e6, 16e6, 4e6)])
def test_no_sessions_beat_the_bound_of_uneven_uplinks(publisher_up: float, up: float, down: float) -> None:
    """`up`: the mean of six requesters, of whom one sends eight times as fast as another."""
    ups = tuple(part * up for part in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0))
    shape = crowd_events.Shape(6, 192, ups=ups, publisher_up=publisher_up, down=down, finding_s=0.0)
    best_s = bounds.uneven_s(shape.content_bytes, publisher_up, ups, down)
    outcome = crowd_events.Crowd(shape, chance()).run()
    assert best_s <= outcome.last_s <= 1.4 * best_s


@pytest.mark.parametrize(("requesters", "slower_than_the_model_by"), [(1, 1.1), (4, 1.25)])
def test_the_production_engine_is_little_slower_than_sessions_on_modelled_links(
    requesters: int, slower_than_the_model_by: float
) -> None:
    real = run_scenario("flash_crowd", seed=1, nodes=requesters + 1)
    assert not real.failures
    shape = crowd_events.Shape(requesters)  # As the scenario has it.
    modelled_s = np.median([crowd_events.Crowd(shape, chance(seed)).run().last_s for seed in range(5)])
    assert 0.9 * modelled_s <= real.last_s <= slower_than_the_model_by * modelled_s


# --- the DHT: closed forms, arrays, events ---------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [1000, 10_000, 100_000])
def test_lookups_go_as_deep_as_the_formula_says(nodes: int) -> None:
    positions = dht_arrays.draw_positions(nodes, chance())
    lookups = dht_arrays.look_up(positions, dht_arrays.draw_positions(20_000, chance(2)), chance(3), k=K)
    assert lookups.hops.mean() == pytest.approx(bounds.mean_hops(nodes, K), rel=0.02)
    assert lookups.found.all()
    assert not lookups.vain.any()


def test_dead_contacts_make_lookups_longer_and_with_few_contacts_make_them_fail() -> None:
    positions = dht_arrays.draw_positions(10_000, chance())
    targets = dht_arrays.draw_positions(20_000, chance(2))
    whole, holed, poor = (
        dht_arrays.look_up(positions, targets, chance(3), k=k, dead=dead) for k, dead in ((K, 0.0), (K, 0.3), (3, 0.5))
    )
    assert whole.hops.mean() < holed.hops.mean() < 1.15 * whole.hops.mean()
    assert holed.vain.mean() == pytest.approx(0.3 / 0.7 * (whole.hops.mean() - 1), rel=0.3)
    assert holed.found.all()
    assert 0.5 < poor.found.mean() < 0.9


def test_the_nearest_nodes_are_those_that_comparing_all_finds() -> None:
    positions = dht_arrays.draw_positions(300, chance())
    targets = dht_arrays.draw_positions(200, chance(2))
    for target, chosen in zip(targets, dht_arrays.nearest(positions, targets, K), strict=True):
        assert set(chosen.tolist()) == set(np.argsort(positions ^ target)[:K].tolist())


@pytest.mark.parametrize(("k", "hours"), [(8, 20.0), (8, 40.0), (20, 40.0)])
def test_records_survive_as_often_as_the_formula_says(k: int, hours: float) -> None:
    churn = Churn(steady=0.5, steady_h=30.0)
    positions = dht_arrays.draw_positions(100_000, chance())
    keys = dht_arrays.draw_positions(2_000, chance(2))  # So few that hardly two share a holder.
    left = dht_arrays.survive(positions, keys, churn, hours, chance(3), k=k)
    stays = churn.stays(hours)
    expected = bounds.record_found(k, stays)
    assert abs(left.alive.mean() / k - stays) <= bounds.three_sigma(stays, k * len(keys))
    assert abs((left.alive > 0).mean() - expected) <= bounds.three_sigma(expected, len(keys))
    assert (left.nearest <= left.alive).all()


def test_with_twenty_holders_and_the_churn_that_was_measured_no_record_is_lost_in_a_day() -> None:
    positions = dht_arrays.draw_positions(20_000, chance())
    left = dht_arrays.survive(positions, dht_arrays.draw_positions(5_000, chance(2)), Churn(), 22.0, chance(3), k=K)
    assert left.alive.mean() / K == pytest.approx(13 / 20, abs=0.02)  # As measured in IPFS.
    assert (left.nearest > 0).all()


def test_records_lie_as_unevenly_as_expected() -> None:
    positions = dht_arrays.draw_positions(10_000, chance())
    load = dht_arrays.holders_per_node(positions, dht_arrays.draw_positions(100_000, chance(2)), K)
    assert load.mean() == K * 100_000 / 10_000
    assert np.percentile(load, 99) / load.mean() == pytest.approx(1.5, rel=0.1)
    assert load.max() / load.mean() <= 2.5


def test_nodes_come_and_go_as_often_as_the_churn_says() -> None:
    churn, nodes = Churn(), 20_000
    sessions = Sessions(nodes, churn, 48.0, chance())
    everybody = np.arange(nodes)
    online = [sessions.online(everybody, np.full(nodes, hour)) for hour in (0.0, 24.0, 48.0)]
    assert max(each.mean() for each in online) - min(each.mean() for each in online) <= 0.01  # As many all the time.
    began = [sessions.session(node, 0.0) for node in range(0, nodes, 10) if online[0][node]]
    stayed = [sessions.session(node, 22.0) == 0 for node in range(0, nodes, 10) if online[0][node]]
    assert set(began) == {0}
    assert abs(np.mean(stayed) - churn.stays(22.0)) <= bounds.three_sigma(churn.stays(22.0), len(stayed))


def test_discovery_as_shipped_looks_as_deep_as_the_arrays_say() -> None:
    outcome = dht_events.run(1000, STILL, chance(), keys=5, searches=100, hours=0.5)
    positions = dht_arrays.draw_positions(1000, chance())
    lookups = dht_arrays.look_up(positions, dht_arrays.draw_positions(20_000, chance(2)), chance(3), k=K)
    # Six are asked at once, so it may hear of the nearest by a shorter way than the greedy one.
    assert 0.88 * lookups.hops.mean() <= outcome.hops <= 1.02 * lookups.hops.mean()
    assert outcome.found == 1
    assert not any(each.failed for each in outcome.searches)
    assert outcome.kept == [K] * 5
    assert outcome.held_at_end == outcome.in_place_at_end == [K] * 5


def test_records_of_discovery_as_shipped_survive_as_the_formula_says() -> None:
    stays = Churn().stays(22.0)
    outcome = dht_events.run(600, Churn(), chance(), keys=12, searches=50, hours=22.0, announce_once=True)
    assert outcome.found == 1
    assert np.mean(outcome.kept) >= 0.95 * K
    left = sum(outcome.held_at_end) / sum(outcome.kept)
    assert abs(left - stays) <= bounds.three_sigma(stays, sum(outcome.kept))
    # And as many of them are where a search looks, among those that came meanwhile, as in the arrays.
    positions = dht_arrays.draw_positions(600, chance())
    expected = dht_arrays.survive(positions, dht_arrays.draw_positions(500, chance(2)), Churn(), 22.0, chance(3), k=K)
    assert np.mean(outcome.in_place_at_end) == pytest.approx(expected.nearest.mean(), rel=0.15)


def test_announced_anew_a_record_has_its_holders_again() -> None:
    outcome = dht_events.run(300, Churn(), chance(), keys=4, searches=4, hours=12.5)
    assert len(outcome.kept) == 3 * 4  # At the start, and every six hours or a tenth sooner.
    assert min(outcome.kept) >= 0.9 * K
    assert min(outcome.held_at_end) >= 0.65 * K


# --- one seed, one outcome -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_outcome_and_another_gives_another() -> None:
    def crowd(seed: int) -> crowd_events.Outcome:
        return crowd_events.Crowd(crowd_events.Shape(4), chance(seed)).run()

    def dht(seed: int) -> dht_events.Outcome:
        return dht_events.run(100, Churn(), chance(seed), keys=2, searches=5, hours=2.0)

    def spread(seed: int) -> list[int]:
        return crowd_arrays.spread(500, 32, chance(seed)).complete.tolist()

    for model in (crowd, dht, spread):
        assert model(1) == model(1)
        assert model(1) != model(2)

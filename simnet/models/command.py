"""`python -m simnet.models crowd|dht`: run a model of a whole network from a seed, and print what came of it.

python -m simnet.models crowd --nodes 1000000                  a flash crowd as arrays
python -m simnet.models crowd --level events --nodes 49 --pieces 512 --rate 50
                                                               sessions as shipped, on modelled links; a chunk of
                                                               each takes milliseconds: 10,000 with 8, some minutes
python -m simnet.models dht --nodes 1000000 --csv out --plot
python -m simnet.models dht --level events --nodes 10000 --hours 24
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from p2phub import limits
from simnet.extra import need_plots
from simnet.models import bounds, crowd_arrays, crowd_events, dht_arrays, dht_events
from simnet.models.churn import STILL, Churn
from simnet.models.report import Curve, Report, as_json, plot, text, write_csv

K = limits.DHT_REPLICATION
DEAD = 0.2  # The share of dead contacts with which lookups are tried again.


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0. What the options must be is told by argparse."""
    options = _options(arguments)
    if options.plot:
        need_plots()
    rng = np.random.default_rng(options.seed)
    began = time.process_time()
    report = _MODELS[options.model, options.level](options, rng)
    if options.json:
        print(as_json(report))
    else:
        seconds = time.process_time() - began
        print(f"{text(report)}\n  {seconds:.1f} s of processor time; the same figures again with --seed {options.seed}")
    written = write_csv(report, options.csv) if options.csv else []
    if options.plot:
        written.append(plot(report, options.csv or Path("out")))
    if written and not options.json:
        print(f"  {', '.join(map(str, written))}")
    return 0


def _crowd_arrays(options: argparse.Namespace, rng: np.random.Generator) -> Report:
    spread = crowd_arrays.spread(options.nodes, options.pieces, rng)
    best = bounds.broadcast_s(options.pieces, 1.0, options.nodes, options.pieces)
    rounds = list(range(1, spread.rounds + 1))
    return Report(
        f"a flash crowd of {options.nodes} as arrays, in rounds of a piece each",
        {
            "seed": options.seed,
            "requesters": options.nodes,
            "pieces": options.pieces,
            "last done": spread.rounds,
            "half done": spread.median_round,
            "bound": best,
            "of the bound": best / spread.rounds,
            "copies from the publisher": spread.copies,
        },
        [
            {
                "round": at,
                "complete": int(spread.complete[at - 1]),
                "have_the_rarest_piece": int(spread.rarest[at - 1]),
                "have_the_commonest_piece": int(spread.commonest[at - 1]),
                "delivered": float(spread.delivered[at - 1]),
            }
            for at in rounds
        ],
        [
            Curve("have all", rounds, (spread.complete / options.nodes).tolist()),
            Curve("have the commonest piece", rounds, (spread.commonest / options.nodes).tolist()),
            Curve("of all bytes", rounds, spread.delivered.tolist()),
        ],
        ("bound for the last", best),
        ("rounds", "share of requesters"),
        name="crowd_arrays",
    )


def _crowd_events(options: argparse.Namespace, rng: np.random.Generator) -> Report:
    up = options.rate * 1e6
    shape = crowd_events.Shape(options.nodes, options.pieces, limits.MIB, up=up, publisher_up=up, down=4 * up)
    outcome = crowd_events.Crowd(shape, rng).run()
    best_s = bounds.broadcast_s(shape.content_bytes, shape.publisher_up, options.nodes, options.pieces)
    done = len(outcome.seconds)
    return Report(
        f"a flash crowd of {options.nodes} sessions: {shape.content_bytes >> 20} MiB, {shape.up / 1e6:g} MB/s up each",
        {
            "seed": options.seed,
            "requesters": options.nodes,
            "pieces": options.pieces,
            "done": done,
            "last done, s": outcome.last_s,
            "half done, s": outcome.median_s,
            "bound, s": best_s,
            "of the bound": best_s / outcome.last_s,
            "copies from the publisher": outcome.copies,
            "events": outcome.events,
        },
        [{"requester": number, "seconds": seconds} for number, seconds in enumerate(outcome.seconds, 1)],
        [Curve("done", outcome.seconds, [(number + 1) / options.nodes for number in range(done)])],
        ("bound for the last", best_s),
        ("seconds", "share of requesters that have all"),
        name="crowd_events",
    )


def _dht_arrays(options: argparse.Namespace, rng: np.random.Generator) -> Report:
    positions = dht_arrays.draw_positions(options.nodes, rng)
    keys = dht_arrays.draw_positions(options.searches, rng)
    still = dht_arrays.look_up(positions, keys, rng, k=K)
    holed = dht_arrays.look_up(positions, keys, rng, k=K, dead=DEAD)
    load = dht_arrays.holders_per_node(positions, dht_arrays.draw_positions(options.keys, rng), K)
    churn = Churn()
    rows = []
    for hours in (1, 6, 12, 24, 48):
        left = dht_arrays.survive(positions, keys, churn, hours, rng, k=K)
        stays = churn.stays(hours)
        rows.append(
            {
                "hours": hours,
                "holders_alive": float(left.alive.mean()),
                "holders_alive_expected": K * stays,
                "holders_where_searched": float(left.nearest.mean()),
                "found": float((left.nearest > 0).mean()),
                "found_expected": bounds.record_found(K, stays),
            }
        )
    depth = np.bincount(still.hops)
    return Report(
        f"a DHT of {options.nodes} nodes as arrays",
        {
            "seed": options.seed,
            "nodes": options.nodes,
            "lookups": options.searches,
            "hops, mean": float(still.hops.mean()),
            "hops, expected": bounds.mean_hops(options.nodes, K),
            "hops, p99": int(np.percentile(still.hops, 99)),
            f"hops with {DEAD:.0%} dead": float(holed.hops.mean()),
            f"lookups that fail with {DEAD:.0%} dead": float(1 - holed.found.mean()),
            "records": options.keys * K,
            "records a node, mean": float(load.mean()),
            "records a node, p99": float(np.percentile(load, 99)),
            "records a node, most": int(load.max()),
            "holders left after 24 h": rows[3]["holders_alive"],
            "of them where a search looks": rows[3]["holders_where_searched"],
            "records found after 24 h": rows[3]["found"],
        },
        rows,
        [Curve("lookups", list(range(len(depth))), [float(count) / options.searches for count in depth])],
        ("mean expected", bounds.mean_hops(options.nodes, K)),
        ("questions deep", "share of lookups"),
        name="dht_arrays",
    )


def _dht_events(options: argparse.Namespace, rng: np.random.Generator) -> Report:
    churn = STILL if options.still else Churn()
    outcome = dht_events.run(
        options.nodes, churn, rng, keys=options.keys, searches=options.searches, hours=options.hours
    )
    first = sorted(each.first_s for each in outcome.searches if each.first_s is not None)
    return Report(
        f"a DHT of {options.nodes} nodes, discovery as shipped, {options.hours:g} h",
        {
            "seed": options.seed,
            "nodes": options.nodes,
            "keys": options.keys,
            "searches": options.searches,
            "found": outcome.found,
            "first provider p50, s": float(np.percentile(first, 50)) if first else "never",
            "first provider p95, s": float(np.percentile(first, 95)) if first else "never",
            "hops, mean": outcome.hops,
            "hops, expected": bounds.mean_hops(options.nodes, K),
            "questions a search": float(np.mean([each.asked for each in outcome.searches])),
            "questions in vain": float(np.mean([each.failed for each in outcome.searches])),
            "announced to, mean": float(np.mean(outcome.kept)),
            "holders at the end, mean": float(np.mean(outcome.held_at_end)),
            "holders at the end, fewest": min(outcome.held_at_end),
            "of them of the nearest, mean": float(np.mean(outcome.in_place_at_end)),
            "questions a node that was asked, most": max(outcome.answered),
            "records a node that was asked, most": max(outcome.records, default=0),
            "events": outcome.events,
        },
        [asdict(search) for search in outcome.searches],
        [Curve("first provider", first, [(number + 1) / options.searches for number in range(len(first))])],
        None,
        ("seconds", "share of searches"),
        name="dht_events",
    )


_MODELS = {
    ("crowd", "arrays"): _crowd_arrays,
    ("crowd", "events"): _crowd_events,
    ("dht", "arrays"): _dht_arrays,
    ("dht", "events"): _dht_events,
}
_SIZES: dict[tuple[str, str], dict[str, float]] = {  # Where nothing is said: some seconds each.
    ("crowd", "arrays"): {"nodes": 100_000, "pieces": crowd_arrays.PIECES_MAX},
    ("crowd", "events"): {"nodes": 16, "pieces": 32, "rate": 4.0},
    ("dht", "arrays"): {"nodes": 100_000, "keys": 100_000, "searches": 20_000},
    ("dht", "events"): {"nodes": 1000, "keys": 10, "searches": 100},
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simnet.models", description="Model a whole network from a seed.")
    parser.add_argument("model", choices=("crowd", "dht"))
    parser.add_argument(
        "--level", choices=("arrays", "events"), default="arrays", help="numpy, or the shipped decisions"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=_count, help="requesters, or nodes of the DHT")
    parser.add_argument(
        "--pieces", type=_count, help=f"crowd: of the content; as arrays {crowd_arrays.PIECES_MAX} at most"
    )
    parser.add_argument(
        "--rate", type=_rate, metavar="MB/S", help="crowd, events: what each sends; it takes four times that"
    )
    parser.add_argument("--keys", type=_count, help="dht: that are announced")
    parser.add_argument("--searches", type=_count, help="dht: how many")
    parser.add_argument("--hours", type=float, default=24.0, help="dht, events: how long")
    parser.add_argument("--still", action="store_true", help="dht, events: nobody comes or goes")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON instead of words")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write the figures there")
    parser.add_argument("--plot", action="store_true", help="draw, beside the CSV or into out/")
    options = parser.parse_args(arguments)
    for name, size in _SIZES[options.model, options.level].items():
        if getattr(options, name) is None:
            setattr(options, name, size)
    if options.level == "arrays" and options.model == "crowd" and options.pieces > crowd_arrays.PIECES_MAX:
        parser.error(f"--pieces: {crowd_arrays.PIECES_MAX} at most, a word of bits a node")
    if options.model == "dht" and options.nodes < K:
        parser.error(f"--nodes: at least the {K} that hold a record")
    return options


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError("more than 0")
    return rate


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main())

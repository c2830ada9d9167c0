"""What a node counted, in the words of Prometheus: names, units and help by its conventions, as prometheus-client
writes them. Pure: numbers in, text out.

Each question has a registry of its own, filled from one set of numbers: nothing is kept between two, and several nodes
in one process do not meet. Labels take few words, all of which the code names: no peer, no model, no path.
Source: https://prometheus.io/docs/practices/naming/, https://github.com/prometheus/OpenMetrics (1.0).
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from p2phub.http.traffic import Traffic

_SITES = {"": "hub", "/": "page", "-": "page", "v2": "oci", "metrics": "operations", "healthz": "operations",
          "readyz": "operations"}  # fmt: skip
"""What stands at a port, by the first part of its paths."""


def exposition(counters: Mapping[str, Any], traffic: Traffic, *, version: str, accept: str) -> tuple[str, bytes]:
    """Return the content type that `accept` asks for (OpenMetrics, or the older text) and all metrics in it.

    `counters`: as `Hub.counters` returns them.
    """
    registry = CollectorRegistry()
    registry.register(_Numbers([*_node(counters, version), *_store(counters["store"]), *_http(traffic)]))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


class _Numbers(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _node(told: Mapping[str, Any], version: str) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "p2phub_build",
        "The p2phub that runs, and the Python under it.",
        {"version": version, "python": platform.python_version()},
    )
    yield _counter(
        "p2phub_received_bytes",
        "Payload bytes received and verified, by how they came.",
        "via",
        told["received_bytes"],
    )
    yield _counter("p2phub_sent_bytes", "Payload bytes sent to peers.", None, told["sent_bytes"])
    yield _counter(
        "p2phub_chunks_refused",
        "Chunks that a source did not give, by its reason; wrong: it gave other bytes, which were thrown away.",
        "reason",
        told["chunks_refused"],
    )
    yield _counter(
        "p2phub_links_dropped",
        "Links of fetches that ended by a fault of the source; lied: with what its digest belies.",
        "reason",
        told["links_dropped"],
    )
    yield _counter("p2phub_jobs_ended", "Fetches that ended, by how.", "outcome", told["jobs_ended"])
    yield _gauge("p2phub_jobs", "Fetches under way; waiting: for somebody who has it.", "state", told["jobs"])
    yield _gauge("p2phub_open_models", "Models that somebody reads ranges of.", None, told["models_open"])
    yield _counter("p2phub_peer_questions", "Small questions of peers, by kind.", "kind", told["questions"])
    ways = {"in": told["connections"], "out": told["links"]}
    yield _gauge(
        "p2phub_connections",
        "Connections to peers; in: that they opened, out: links of fetches.",
        "direction",
        ways,
    )
    caps = {"up": told["up"], "down": told["down"]}
    yield _gauge(
        "p2phub_cap_bytes_per_second",
        "Caps on sending and receiving that hold now; absent: none.",
        "direction",
        {way: cap for way, cap in caps.items() if cap is not None},
    )
    yield _gauge("p2phub_dht_peers", "Peers of the DHT that answered of late.", None, told["peers_proven"])
    kept = told["records_kept"]
    yield _gauge(
        "p2phub_dht_records",
        "Manifests to be announced; kept: somebody took the last announcement.",
        "state",
        {"kept": kept, "not_kept": max(0, told["records"] - kept)},
    )
    yield _gauge(
        "p2phub_dht_announce_lag_seconds",
        "For how long the announcement that is due first has been due.",
        None,
        told["announce_late_s"],
    )
    yield _counter("p2phub_hashed_bytes", "Bytes read and hashed by publish and adopt.", None, told["hashed_bytes"])
    yield _counter("p2phub_collected_bytes", "Bytes let go of by collections.", None, told["collected_bytes"])
    memory, descriptors = _by_role(told["processes"], "anonymous_bytes"), _by_role(told["processes"], "descriptors")
    yield _gauge(
        "p2phub_anonymous_memory_bytes",
        "Memory that the processes of this node made their own; bulk: those that carry bulk bytes.",
        "role",
        memory,
    )
    yield _gauge("p2phub_open_descriptors", "Open descriptors of the processes of this node.", "role", descriptors)


def _store(told: Mapping[str, Any] | None) -> Iterator[Metric]:
    yield _gauge("p2phub_store_up", "Whether the store can be looked over; 0: its disk fails.", None, told is not None)
    if told is None:
        return
    held = told["held"]
    yield _gauge(
        "p2phub_held_bytes",
        "Bytes of what is held whole, by where it came from.",
        "origin",
        {origin: each["bytes"] for origin, each in held.items()},
    )
    yield _gauge(
        "p2phub_held_manifests",
        "Manifests of which something is held, by where they came from.",
        "origin",
        {origin: each["manifests"] for origin, each in held.items()},
    )
    yield _gauge("p2phub_own_store_bytes", "Bytes in the home's own store.", None, told["own_bytes"])
    yield _gauge(
        "p2phub_own_store_unfinished_bytes",
        "Bytes in the home's own store of fetches that have not ended.",
        None,
        told["unfinished_bytes"],
    )
    yield _gauge("p2phub_upstream_bytes", "Bytes of what came from an upstream hub.", None, told["upstream_bytes"])
    if told["quota"] is not None:
        yield _gauge(
            "p2phub_own_store_quota_bytes",
            "The quota of the own store and of what came from an upstream hub, together; absent: none.",
            None,
            told["quota"],
        )
    yield _gauge("p2phub_disk_free_bytes", "Room left on the disk of the home.", None, told["free_bytes"])
    yield _gauge(
        "p2phub_index_read_seconds",
        "How long it took to look through what is held, the last time that it changed.",
        None,
        told["index_s"],
    )


def _http(traffic: Traffic) -> Iterator[Metric]:
    yield _gauge("p2phub_http_connections", "Connections of HTTP clients, open now.", None, traffic.connections)
    yield _counter(
        "p2phub_http_turned_away",
        "Connections of HTTP clients for which there was no place.",
        None,
        traffic.turned_away,
    )
    requests = CounterMetricFamily(
        "p2phub_http_requests",
        "Requests answered, by what answered and the class of its status.",
        labels=["site", "status"],
    )
    answers: dict[tuple[str, str], int] = {}
    for (site, status), count in traffic.answers.items():
        key = (_SITES.get(site, "other"), status)
        answers[key] = answers.get(key, 0) + count
    for key in sorted(answers):
        requests.add_metric(key, answers[key])
    yield requests
    yield _counter("p2phub_http_cut", "Answers that broke off; their clients resume.", None, traffic.cut)
    yield _counter("p2phub_http_sent_bytes", "Bytes sent to HTTP clients, heads included.", None, traffic.sent_bytes)
    yield _counter(
        "p2phub_http_received_bytes", "Bytes received from HTTP clients, heads included.", None, traffic.received_bytes
    )


def _by_role(processes: Iterable[Mapping[str, Any]], what: str) -> dict[str, int]:
    found = {"node": 0, "bulk": 0}
    for each in processes:
        found[each["role"]] += each[what]
    return found


def _counter(name: str, about: str, label: str | None, told: Any) -> Metric:
    if label is None:
        return CounterMetricFamily(name, about, value=told)
    family = CounterMetricFamily(name, about, labels=[label])
    for word in sorted(told):
        family.add_metric([word], told[word])
    return family


def _gauge(name: str, about: str, label: str | None, told: Any) -> Metric:
    if label is None:
        return GaugeMetricFamily(name, about, value=float(told))
    family = GaugeMetricFamily(name, about, labels=[label])
    for word in sorted(told):
        family.add_metric([word], told[word])
    return family

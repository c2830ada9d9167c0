"""What a node counted, as Prometheus reads it: by its own parsers, in both formats."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text

from p2phub.http.traffic import Traffic
from p2phub.operations.exposition import exposition

OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
UNITS = ("_bytes", "_seconds", "_bytes_per_second", "_ratio")
COUNTERS: dict[str, Any] = {
    "seconds": 12.5,
    "sent_bytes": 1_000,
    "received_bytes": {"direct": 5_000_000_000, "lan": 0, "mirror": 7},
    "chunks_refused": {"busy": 3, "wrong": 1},
    "links_dropped": {"gone": 2, "lied": 1},
    "jobs_ended": {"done": 4, "no_provider": 1},
    "questions": {"ping": 1},
    "hashed_bytes": 10,
    "collected_bytes": 11,
    "jobs": {"running": 2, "waiting": 1},
    "models_open": 1,
    "connections": 8,
    "links": 9,
    "peers_proven": 20,
    "records": 5,
    "records_kept": 4,
    "announce_late_s": 1.5,
    "up": None,
    "down": 5_000_000,
    "processes": [
        {"pid": 1, "role": "node", "anonymous_bytes": 100, "descriptors": 10},
        {"pid": 2, "role": "bulk", "anonymous_bytes": 20, "descriptors": 2},
        {"pid": 3, "role": "bulk", "anonymous_bytes": 30, "descriptors": 3},
    ],
    "store": {
        "held": {"own": {"manifests": 2, "bytes": 1 << 40}},
        "own_bytes": 1 << 40,
        "unfinished_bytes": 5,
        "upstream_bytes": 7,
        "quota": None,
        "free_bytes": 1 << 33,
        "index_s": 0.002,
    },
}


def told(accept: str = "", traffic: Traffic | None = None, **changed: Any) -> dict[str, Metric]:
    traffic = Traffic() if traffic is None else traffic
    content_type, body = exposition({**COUNTERS, **changed}, traffic, version="1.2.3", accept=accept)
    is_open = content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert is_open or content_type.startswith("text/plain; version=0.0.4")
    families = list((open_metrics if is_open else text)(body.decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def samples(families: dict[str, Metric]) -> dict[tuple[str, ...], float]:
    told = [sample for family in families.values() for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in told}


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", OPEN_METRICS])
def test_both_formats_say_the_same_numbers(accept: str) -> None:
    said = samples(told(accept))
    assert said["p2phub_received_bytes_total", "direct"] == 5_000_000_000
    assert said["p2phub_chunks_refused_total", "wrong"] == 1
    assert said["p2phub_jobs", "waiting"] == 1
    assert said["p2phub_cap_bytes_per_second", "down"] == 5_000_000
    assert said["p2phub_dht_records", "not_kept"] == 1
    assert said["p2phub_anonymous_memory_bytes", "bulk"] == 50
    assert said["p2phub_held_bytes", "own"] == 1 << 40
    assert any(key[0] == "p2phub_build_info" and "1.2.3" in key for key in said)
    assert said["process_open_fds",] > 0


@pytest.mark.parametrize("accept", ["", OPEN_METRICS])
def test_names_have_a_prefix_a_unit_and_help_and_what_is_counted_ends_in_total(accept: str) -> None:
    for name, family in told(accept).items():
        assert re.fullmatch(r"(p2phub|process)_[a-z_]+", name)
        assert family.documentation.endswith((".", "seconds", "descriptors"))
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total")
        if re.search(r"bytes|seconds", name):
            assert name.removesuffix("_total").endswith(UNITS)


def test_a_store_that_cannot_be_seen_is_told_as_such_and_the_rest_all_the_same() -> None:
    said = samples(told(store=None))
    assert said["p2phub_store_up",] == 0
    assert said["p2phub_sent_bytes_total",] == 1_000
    assert not any(name.startswith(("p2phub_held", "p2phub_own", "p2phub_disk")) for name, *_ in said)
    assert samples(told())["p2phub_store_up",] == 1


def test_what_is_not_set_is_absent_and_no_number() -> None:
    assert not told()["p2phub_cap_bytes_per_second"].samples[1:]
    assert "p2phub_own_store_quota_bytes" not in told()
    store = {**COUNTERS["store"], "quota": 5}
    assert samples(told(store=store))["p2phub_own_store_quota_bytes",] == 5


def test_what_goes_over_the_ports_is_told_by_site_and_class_and_by_no_path() -> None:
    traffic = Traffic(connections=3, turned_away=2, cut=1, received_bytes=10, sent_bytes=20)
    for site, status in (("", 200), ("", 206), ("", 503), ("metrics", 200), ("readyz", 503), ("acme", 200)):
        traffic.answered(site, status)
    said = samples(told(traffic=traffic))
    requests = {key[1:]: value for key, value in said.items() if key[0] == "p2phub_http_requests_total"}
    assert requests == {
        ("hub", "2xx"): 2,
        ("hub", "5xx"): 1,
        ("operations", "2xx"): 1,
        ("operations", "5xx"): 1,
        ("other", "2xx"): 1,
    }
    assert said["p2phub_http_connections",] == 3
    assert said["p2phub_http_sent_bytes_total",] == 20


def test_two_nodes_of_one_process_do_not_meet() -> None:
    assert samples(told(sent_bytes=1))["p2phub_sent_bytes_total",] == 1
    assert samples(told(sent_bytes=2))["p2phub_sent_bytes_total",] == 2

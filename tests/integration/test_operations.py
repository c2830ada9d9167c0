"""Two real daemons and what whoever keeps them running sees: numbers, probes, logs, systemd's socket."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from p2phub import limits
from tests.support.covers import covers
from tests.support.processes import Scene

END_S = 60.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path / "scene", verbose=True) as scene:
        yield scene


def ask(url: str, path: str, **headers: str) -> tuple[int, bytes]:
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=END_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def numbers(url: str) -> dict[tuple[str, ...], float]:
    status, body = ask(url, "/metrics")
    assert status == 200, body
    families = text_string_to_metric_families(body.decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_what_one_node_sent_is_what_the_other_received(scene: Scene, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "a.bin").write_bytes(os.urandom(6 * limits.MIB))
    ann = scene.node("ann", "--metrics", "127.0.0.1:0")
    bob = scene.node("bob", "--metrics", "127.0.0.1:0", "--gateway", "127.0.0.1:0")
    assert (ann.ready["gateway"], bob.ready["gateway"] is not None) == (None, True)
    ticket = scene.publish("ann", model, name="m")["reference"]
    fetch = scene.start("bob", "fetch", ticket, "--into", tmp_path / "into", "--provider", ann.address)
    assert fetch.finish(timeout_s=END_S) == 0

    at_ann, at_bob = numbers(ann.ready["metrics"]), numbers(bob.ready["metrics"])
    assert at_ann["p2phub_hashed_bytes_total",] == 6 * limits.MIB
    assert at_ann["p2phub_held_bytes", "published"] == 6 * limits.MIB
    assert at_bob["p2phub_received_bytes_total", "direct"] == 6 * limits.MIB
    assert at_bob["p2phub_jobs_ended_total", "done"] == 1
    assert at_bob["p2phub_held_bytes", "fetched"] == 6 * limits.MIB
    assert at_bob["p2phub_jobs", "running"] == 0
    assert at_ann["p2phub_peer_questions_total", "release"] >= 1
    # What describes the manifest is sent, too; the last of it is told of within a moment.
    assert at_ann["p2phub_sent_bytes_total",] >= 5 * limits.MIB

    failed = scene.start("bob", "fetch", ticket[:-1] + "x", "--into", tmp_path / "none", "--provider", ann.address)
    assert failed.finish(timeout_s=END_S) != 0
    assert ask(bob.ready["gateway"], "/api/models")[0] == 200
    after = numbers(bob.ready["gateway"])
    assert after["p2phub_http_requests_total", "hub", "2xx"] == 1
    assert after["p2phub_http_requests_total", "operations", "2xx"] >= 1


def test_probes_follow_the_state_of_the_store(scene: Scene) -> None:
    node = scene.node("ann", "--metrics", "127.0.0.1:0")
    url = node.ready["metrics"]
    assert ask(url, "/healthz") == (200, b'{"ok":true}\n')
    assert ask(url, "/readyz")[0] == 200
    for command in (["ls"], ["search", "anything", "--held"]):  # Its databases are made by then: they make the home.
        assert scene.start("ann", *command).finish(timeout_s=END_S) == 0
    home = scene.home("ann")
    shutil.move(home, home.with_name("away"))
    told = _until_not_ready(url)
    assert (told["ok"], told["reasons"]) == (False, ["store"])
    assert ask(url, "/healthz")[0] == 200
    shutil.move(home.with_name("away"), home)


def _until_not_ready(url: str) -> dict[str, object]:
    """A look at the store holds for two seconds: ask until there was another."""
    for _ in range(100_000):
        status, body = ask(url, "/readyz")
        if status == 503:
            found: dict[str, object] = json.loads(body)
            return found
    raise AssertionError("it stays ready")


def test_systemd_is_told_when_the_node_can_be_dialled(scene: Scene, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "n"))
        notify.settimeout(END_S)
        scene.environment["ann"] = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "60000000"}
        node = scene.node("ann")
        said = {notify.recv(1000).decode() for _ in range(2)}
    assert said == {"WATCHDOG=1", f"READY=1\nSTATUS=node {node.peer_id} is up"}


@covers("T48")
def test_a_log_in_json_has_nothing_but_objects_and_no_token(scene: Scene, tmp_path: Path) -> None:
    node = scene.node("ann", "-v", "--log-json", "--gateway", "127.0.0.1:0")
    token = scene.gateway_token("ann")
    theirs = "hf_" + "x" * 30
    url = node.ready["gateway"]
    for said in (token, theirs):
        ask(url, f"/{said}/model/resolve/main/config.json?token={said}", authorization=f"Bearer {said}")
        ask(
            url,
            f"/api/models/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/{said}",
            authorization=f"Bearer {said}",
        )
    assert node.stop() == 0
    log = node.log.read_text(encoding="utf-8")
    told = [json.loads(line) for line in log.splitlines()]
    assert any(each["logger"].startswith("p2phub.") for each in told)
    assert token not in log
    assert theirs not in log

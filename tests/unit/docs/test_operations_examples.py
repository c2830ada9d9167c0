"""What the examples of docs/operations say is what there is: commands, ports, paths, settings, metrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from p2phub import limits
from p2phub.cli.command_list import all_commands
from p2phub.cli.options import take_common
from p2phub.cli.parser import command_parser, only_options_parser
from p2phub.http.traffic import Traffic
from p2phub.node.config import _READERS, GATEWAY_DEFAULT, METRICS_DEFAULT, parse_listen
from p2phub.operations.exposition import exposition
from p2phub.operations.sites import HEALTH, METRICS, READY
from tests.support.operations import (
    COMPOSE,
    DOCKERFILE,
    FOLDER,
    UNITS,
    command_lines,
    examples,
    kubernetes,
    of_dockerfile,
    pod_spec,
)
from tests.unit.operations.test_exposition import COUNTERS

GATEWAY, WATCHING = GATEWAY_DEFAULT.port, METRICS_DEFAULT.port
PORTS = {limits.PORT_DEFAULT, GATEWAY, WATCHING}
PATHS = {f"/{METRICS}", f"/{HEALTH}", f"/{READY}"}
README = (FOLDER / "README.md").read_text(encoding="utf-8")
LINES = command_lines()


def test_each_kind_of_example_runs_something() -> None:
    assert {where.split()[0].rstrip(",") for where, _ in LINES} >= {
        "systemd/p2phub.service",
        "user/p2phub.service",
        "Dockerfile",
        "compose.yaml",
        "p2phub.yaml",
    }
    assert len(LINES) > 10


@pytest.mark.parametrize(("where", "words"), LINES, ids=[f"{where}: {' '.join(words[:2])}" for where, words in LINES])
def test_each_command_line_is_one(where: str, words: list[str]) -> None:
    common, rest = take_common(words, only_options_parser(), {})
    args = command_parser(all_commands()).parse_args(rest)
    if args.command.name != "node":
        return
    for option, port in (("gateway", GATEWAY), ("metrics", WATCHING)):
        at: str | None = getattr(args, option)
        if at is not None:
            assert parse_listen(at.replace("$(NODE_IP)", "192.0.2.1")).port == port
    for at in common.listen:
        assert parse_listen(at).port == limits.PORT_DEFAULT


@pytest.mark.parametrize("path", examples(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_file_has_a_port_path_setting_or_command_that_there_is_not(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert set(map(int, re.findall(r"\b(?:4717|77\d\d)\b", text))) <= PORTS
    assert set(re.findall(r"/(?:metrics|healthz|readyz)\b", text)) <= PATHS
    known = {f"P2PHUB_{key.upper()}" for key in _READERS} | {"P2PHUB_HOME"}
    assert set(re.findall(r"P2PHUB_[A-Z_]+", text)) <= known
    assert set(re.findall(r"`p2phub (\w+)", text)) <= {command.name for command in all_commands()}
    if path.suffix == ".yaml":
        assert list(yaml.safe_load_all(text))


@pytest.mark.parametrize("path", examples(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_the_page_names_each_file(path: Path) -> None:
    assert f"({path.relative_to(FOLDER)})" in README


def metrics(counters: dict[str, Any]) -> dict[str, set[str]]:
    """Return the labels of each metric, by the name of its samples."""
    traffic = Traffic()
    traffic.answered("", 200)
    _, body = exposition(counters, traffic, version="1", accept="")
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(p2phub_\w+)(?:\{(.*)\})? ", body.decode(), flags=re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


ALL = metrics({**COUNTERS, "up": 1, "store": {**COUNTERS["store"], "quota": 1}})


def test_the_page_lists_each_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(p2phub_\w+)`(?: by (.*?))? \|", README, flags=re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == ALL


def test_alerts_ask_for_metrics_and_labels_that_there_are() -> None:
    [group] = yaml.safe_load((FOLDER / "prometheus/p2phub-alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert len(group["rules"]) == 4
    for rule in group["rules"]:
        for name, labels in re.findall(r"(p2phub_\w+)(?:\{(.*?)\})?", rule["expr"]):
            assert set(re.findall(r"(\w+)=", labels)) <= ALL[name]
        assert f"`{rule['alert']}`" in README


def test_the_container_watches_the_port_that_it_opens() -> None:
    assert {int(port) for line in of_dockerfile("EXPOSE") for port in line.split()} == PORTS
    [check] = of_dockerfile("HEALTHCHECK")
    assert f"http://127.0.0.1:{WATCHING}/{READY}" in check
    compile(re.findall(r'"(import .*?)"', check)[0], "HEALTHCHECK", "exec")
    assert of_dockerfile("USER") == ["10001:10001"]
    for source, *_ in (line.split() for line in of_dockerfile("COPY") if not line.startswith("--from")):
        assert (FOLDER.parents[1] / source).exists()


def test_services_keep_their_home_and_have_addresses_of_their_own() -> None:
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    at = [service["networks"]["swarm"]["ipv4_address"] for service in compose["services"].values()]
    assert len(set(at)) == 3
    for name, service in compose["services"].items():
        assert f"{name}:/data" in service["volumes"]
        assert name in compose["volumes"]
        assert f"--listen {service['networks']['swarm']['ipv4_address']}:" in service["command"][0]
    build = compose["services"]["bootstrap"]["build"]
    assert (COMPOSE.parent / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE


def test_the_daemon_set_probes_what_it_opens_and_runs_as_nobody_special() -> None:
    spec = pod_spec()
    [node] = spec["containers"]
    ports = {each["name"]: each["containerPort"] for each in node["ports"]}
    assert set(ports.values()) == PORTS
    for probe, path in (("startupProbe", HEALTH), ("livenessProbe", HEALTH), ("readinessProbe", READY)):
        assert node[probe]["httpGet"] == {"path": f"/{path}", "port": "metrics"}
    assert ports["metrics"] == WATCHING
    assert node["securityContext"]["runAsUser"] == 10001
    volumes = {each["name"] for each in spec["volumes"]}
    for each in (node, *spec["initContainers"]):
        assert {mount["name"] for mount in each["volumeMounts"]} <= volumes
    [pod] = [each for each in kubernetes() if each["kind"] == "Pod"]
    told = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert told["HF_ENDPOINT"] == f"http://$(NODE_IP):{GATEWAY}"


@pytest.mark.parametrize("unit", UNITS, ids=["system", "user"])
def test_a_unit_waits_for_what_the_node_tells_systemd(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "\nType=notify\n" in text
    assert re.search(r"^WatchdogSec=\d+$", text, flags=re.MULTILINE)
    assert "\nRestartPreventExitStatus=2 4\n" in text

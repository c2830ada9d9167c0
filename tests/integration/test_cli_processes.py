"""The command line as users start it: real processes, with and without a daemon, on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.support.command_line import PEER, RESULTS
from tests.support.covers import covers
from tests.support.house import ROOT
from tests.support.models import make_safetensors_folder
from tests.support.processes import Event, Process, Scene

END_S = 60.0
AT_ONCE_S = 8.0
"""Less than a handshake may take (10 s), and well above what ending takes."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 12_288)  # Three chunks.
    (folder / "config.json").write_text("{}")
    return folder


def run(scene: Scene, title: str, *words: str | Path) -> tuple[int, list[Event]]:
    process = scene.start(title, *words)
    return process.finish(timeout_s=END_S), process.events


def shape(value: Any) -> Any:
    """The names of an object's fields, or of the first object in a list."""
    if isinstance(value, list):
        return shape(value[0]) if value else None
    return sorted(value) if isinstance(value, dict) else None


def run_all(scene: Scene, title: str, *commands: list[str]) -> dict[str, Event]:
    """Run the commands at once; return the last object of each by the command's name."""
    processes = {words[0]: scene.start(title, *words) for words in commands}
    assert {name: process.finish(timeout_s=END_S) for name, process in processes.items()} == dict.fromkeys(processes, 0)
    return {name: process.events[-1] for name, process in processes.items()}


def test_objects_have_the_fields_of_the_guide_beside_a_daemon_and_without(scene: Scene, model: Path) -> None:
    reference = scene.publish("home", model, name="m")["reference"]
    node = scene.node("home")
    said = run_all(scene, "home", ["ls"], ["info", reference], ["status"], ["peers"])
    assert said["status"]["daemon"] is True
    assert said["peers"]["items"] == []
    assert node.stop() == 0
    said |= run_all(scene, "home", ["init"], ["log", reference], ["verify", reference], ["doctor"])
    for verb in ("init", "info", "verify", "status"):
        assert said[verb].keys() >= {*RESULTS[verb], "event"}, verb
    for verb in ("ls", "log", "doctor"):
        assert shape(said[verb]["items"]) == shape(RESULTS[verb]), verb
    assert shape(said["info"]["files"]) == shape(RESULTS["info"]["files"])
    assert shape(said["info"]["release"]) == shape(RESULTS["info"]["release"])
    code, events = run(scene, "home", "publish", model, "--dry-run")
    assert (code, events[-1]["bytes"]) == (0, 256 * 12_288 + 2)


def test_tensors_and_differences_are_shown_of_what_is_not_here(scene: Scene, tmp_path: Path) -> None:
    first = make_safetensors_folder(tmp_path / "first", 4_000_000, seed=1)
    second = make_safetensors_folder(tmp_path / "second", 4_000_000, seed=2)
    references = [scene.publish("home", folder, name=folder.name)["reference"] for folder in (first, second)]
    node = scene.node("home")
    there = ["--provider", node.address, "--no-lan"]
    code, events = run(scene, "elsewhere", "info", references[0], "--tensors", *there)
    assert code == 0
    with safe_open(first / "model.safetensors", framework="numpy") as tensors:
        assert {each["name"] for each in events[-1]["tensors"]} == set(tensors.keys())
    code, events = run(scene, "elsewhere", "diff", *references, *there)
    assert code == 0
    assert {each["change"] for each in events[-1]["tensors"]} == {"changed", "maybe changed"}
    assert [each["path"] for each in events[-1]["files"]] == ["config.json", "model.safetensors"]
    assert 3_900_000 < events[-1]["bytes_new"] <= events[-1]["bytes_after"]


@covers("F30")
@pytest.mark.parametrize("daemon", [True, False], ids=["beside a daemon", "without a daemon"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_fetch_at_once(scene: Scene, daemon: bool, number: signal.Signals) -> None:
    node = scene.node("home") if daemon else None
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Takes connections and never says a word.
        silent.settimeout(END_S)
        provider = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{PEER}"
        fetch = scene.start(
            "home", "fetch", f"{PEER}/m", "--provider", provider, "--no-lan", "--into", scene.folder / "m"
        )
        with silent.accept()[0]:
            fetch.popen.send_signal(number)
            assert fetch.finish(timeout_s=AT_ONCE_S) == 130
    assert [(event["event"], event["code"]) for event in fetch.events] == [("failed", 130)]
    assert "resumes" in fetch.events[0]["hint"]
    if node is not None:
        _, events = run(scene, "home", "status")
        assert (events[-1]["daemon"], events[-1]["jobs"]) == (True, [])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_fetch_whose_node_goes_away_is_no_bug_and_says_that_it_goes_on(scene: Scene, how: signal.Signals) -> None:
    node = scene.node("home")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Takes connections and never says a word.
        silent.settimeout(END_S)
        provider = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{PEER}"
        fetch = scene.start("home", "fetch", f"{PEER}/m", "--provider", provider, "--into", scene.folder / "m")
        with silent.accept()[0]:
            node.popen.send_signal(how)
            assert fetch.finish(timeout_s=END_S) == 7
    assert [(event["event"], event["code"]) for event in fetch.events] == [("failed", 7)]
    assert "what was verified stays, and the same command goes on" in fetch.events[0]["hint"]


@covers("F07")
def test_a_second_daemon_of_a_home_is_refused_and_the_first_lives_on(scene: Scene) -> None:
    node = scene.node("home")
    second: Process = scene.start("home", "node", "--listen", "127.0.0.1:0", "--no-lan")
    assert second.finish(timeout_s=END_S) == 2
    assert [event["event"] for event in second.events] == ["failed"]
    assert node.popen.poll() is None
    assert node.stop() == 0
    assert node.events[-1] == {"event": "stopped"}


@covers("F05")
def test_verify_names_what_was_changed_on_disk_and_exits_with_5(scene: Scene, model: Path) -> None:
    reference = scene.publish("home", model, name="m")["reference"]
    with (model / "weights.bin").open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"x")
    code, events = run(scene, "home", "verify", reference)
    assert code == 5
    verified, failed = [event for event in events if event["event"] != "progress"]
    assert [damage["path"] for damage in verified["damaged"]] == ["weights.bin"]
    assert (failed["event"], failed["code"]) == ("failed", 5)
    assert "weights.bin" in failed["message"]


def test_on_a_terminal_a_bar_is_drawn_and_the_result_goes_to_stdout(tmp_path: Path, model: Path) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "p2phub", "--home", str(tmp_path / "home"), "publish", str(model), "--name", "m"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=environment, text=True)
    os.close(end)
    shown = b""
    try:
        while data := os.read(terminal, 65536):
            shown += data
    except OSError:  # How Linux says that nobody holds the other end any more.
        pass
    finally:
        os.close(terminal)
    result, _ = ran.communicate(timeout=END_S)
    assert ran.returncode == 0
    assert b"\x1b[?25h" in shown  # The cursor is back.
    assert b"Hashing 2 files" in shown
    assert result.splitlines()[1].split()[0] == "reference"
    assert "\x1b" not in result


def test_a_damaged_state_log_is_told_and_salvaged_on_the_users_word(tmp_path: Path) -> None:
    folder = make_safetensors_folder(tmp_path / "model", 100_000)
    with Scene(tmp_path / "scene") as scene:
        scene.publish("home", folder, name="one")
        scene.publish("home", folder, name="two")
        log = scene.home("home") / "state.log"
        data = bytearray(log.read_bytes())
        data[len(data) // 2] ^= 1
        log.write_bytes(data)

        refused = scene.start("home", "ls")
        failed = list(refused.until("failed", "ls", timeout_s=30))[-1]
        assert (failed["event"], failed["code"]) == ("failed", 5)
        assert "--salvage" in failed["hint"]

        mended = scene.start("home", "doctor", "--salvage")
        mended.wait_for("doctor", timeout_s=30)
        assert mended.finish(timeout_s=30) == 0
        listed = scene.start("home", "ls")
        listed.wait_for("ls", timeout_s=30)
        assert listed.finish(timeout_s=30) == 0


def test_a_name_is_not_given_to_somebody_else_unasked(tmp_path: Path) -> None:
    with Scene(tmp_path / "scene") as scene:

        def name(*words: str) -> int:
            return scene.start("home", "name", *words).finish(timeout_s=30)

        other = "12D3KooWBD4YecTdGpw1fLiQJLXcBSWTfeEqvnkiN7mLCnr1M5He"
        assert name("add", "alice", PEER) == 0
        assert name("add", "alice", PEER) == 0
        assert name("add", "alice", other) == 2
        assert name("rm", "alice") == 0
        assert name("add", "alice", other) == 0


def test_a_seeding_fetch_says_where_it_listens_and_that_the_port_it_was_given_is_taken(
    scene: Scene, model: Path
) -> None:
    reference = scene.publish("home", model, name="m")["reference"]
    node = scene.node("home")
    port = node.address.split("/")[4]
    words = ["--provider", node.address, "--no-lan", "--into", scene.folder / "m", "--seed"]
    fetch = scene.start("elsewhere", "fetch", reference, *words, "--listen", f"127.0.0.1:{port}")
    listening = fetch.wait_for("listening", timeout_s=END_S)
    fetch.wait_for("done", timeout_s=END_S)
    assert f"port {port} of 127.0.0.1 is in use; others can reach this fetch at" in fetch.log.read_text()
    [address] = listening["addresses"]
    assert address.split("/")[4] not in ("0", port)
    third = scene.start(
        "third", "fetch", reference, "--provider", address, "--no-lan", "--into", scene.folder / "n", "--no-serve"
    )
    assert third.finish(timeout_s=END_S) == 0
    assert [source["peer_id"] for source in third.events[-1]["sources"]] == [address.split("/")[-1]]
    assert "listening" not in [event["event"] for event in third.events]
    assert fetch.stop() == 0


def test_a_fetch_tells_with_v_whom_it_asks_and_dials_and_how_that_came_out(scene: Scene, model: Path) -> None:
    reference = scene.publish("home", model, name="m")["reference"]
    node = scene.node("home")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"/ip4/127.0.0.1/tcp/{closed.getsockname()[1]}"
    words = ["--no-lan", "--into", scene.folder / "m"]
    told = ["--provider", f"{nobody}/p2p/{PEER}", "--bootstrap", node.address]
    fetch = scene.start("elsewhere", "fetch", reference, *told, *words, "-v")
    assert fetch.finish(timeout_s=END_S) == 0, fetch.tail()
    said = fetch.log.read_text()
    for line in (
        f"asking {nobody}/p2p/{PEER} for releases of {reference}",
        "asking the network for releases of",
        "the DHT is asked: 1 bootstrap nodes are named",
        "the local network is not searched",
        f"{reference} is bagaq",
        "asking those that are known first: 1 peers",
        f"dialling {PEER} at {nobody}",
        f"{PEER} may be dialled again in 1 s: no connection to {nobody}",
        "looking for providers of bagaq",
        f"found {node.address}, named by dht",
        f"dialling {node.peer_id} at ",
        f"{node.peer_id} answers at ",
    ):
        assert line in said, f"{line}\n---\n{said}"

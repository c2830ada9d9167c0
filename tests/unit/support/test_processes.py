"""Scenes end what they start, whatever happens, and say what went wrong.

Played by a stand-in for p2phub that runs the code it is given.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import Process, Scene, SceneFailed

STAND_IN = """
import json, os, subprocess, sys, time
words = sys.argv[1:]
code = words[words.index("--code") + 1] if "--code" in words else ""
print("a line of the log", file=sys.stderr, flush=True)
def say(kind, **fields):
    print(json.dumps({"event": kind, **fields}), flush=True)
exec(code)
"""
READY = "say('ready', peer_id='me', publisher_id='pub', addresses=['/ip4/127.0.0.1/tcp/1/p2p/me'], gateway=None)\n"
FOREVER = "time.sleep(600)"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    return Scene(tmp_path / "scene", program=[sys.executable, str(program)])


def is_gone(pid: int) -> bool:
    """Tell whether the process has ended; a kill is under way for a moment, so ask again for a while."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            # A killed child of a killed parent waits as a zombie for whoever adopted it; it runs no more.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_node_is_there_once_it_says_ready(scene: Scene) -> None:
    with scene:
        node = scene.node("ann", "--code", READY + FOREVER)
        assert (node.peer_id, node.publisher_id, node.address) == ("me", "pub", "/ip4/127.0.0.1/tcp/1/p2p/me")
        assert node.popen.poll() is None
    assert is_gone(node.pid)


def test_a_failure_in_a_scene_ends_processes_that_do_not_want_to_and_their_children(scene: Scene) -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "say('child', pid=child.pid)\n"
        f"{FOREVER}"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.processes.STOP_S", 0.2)
        pids: list[int] = []

        def play() -> None:
            with scene:
                process = scene.start("ann", "stay", "--code", code)
                pids.extend([process.pid, process.wait_for("child", timeout_s=30)["pid"]])
                raise SceneFailed("something else")

        with pytest.raises(SceneFailed, match="something else"):
            play()
    assert [is_gone(pid) for pid in pids] == [True, True]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('not json', flush=True)\n" + FOREVER, "printed what is not an event: 'not json'"),
        ("print('[1]', flush=True)\n" + FOREVER, "printed what is not an event"),
        ("say('failed', code=3, message='nobody has it')", "failed with code 3: nobody has it"),
        ("sys.exit(5)", "ended with code 5 before it said done"),
    ],
)
def test_what_is_not_as_promised_fails_at_once_and_shows_the_log(scene: Scene, code: str, message: str) -> None:
    with scene:
        process = scene.start("ann", "fetch", "--code", code)
        with pytest.raises(SceneFailed) as failure:
            process.wait_for("done", timeout_s=30)
    assert message in str(failure.value)
    assert "a line of the log" in str(failure.value)


def test_an_event_that_does_not_come_in_time_is_named(scene: Scene) -> None:
    with scene:
        process = scene.start("ann", "fetch", "--code", "say('started')\n" + FOREVER)
        assert process.wait_for("started", timeout_s=30) == {"event": "started"}
        with pytest.raises(SceneFailed, match="no done or failed within 0 s"):
            process.wait_for("done", timeout_s=0)


def test_publishing_needs_exit_code_0_too(scene: Scene, tmp_path: Path) -> None:
    with scene, pytest.raises(SceneFailed, match="said published, then exited with 1"):
        scene.publish("ann", tmp_path, name="x", arguments=["--code", "say('published')\nsys.exit(1)"])


def test_each_title_has_a_home_and_no_setting_of_the_user_comes_through(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PHUB_BOOTSTRAP", "/ip4/192.0.2.1/tcp/4717")
    code = "say('seen', words=words, settings=[name for name in os.environ if name.startswith('P2PHUB_')])"

    def seen(process: Process) -> tuple[list[str], list[str]]:
        event = process.wait_for("seen", timeout_s=30)
        return event["words"][:3], event["settings"]

    with scene:
        assert seen(scene.start("ann", "ls", "--code", code)) == (["--json", "--home", str(scene.home("ann"))], [])
        assert seen(scene.start("bob", "ls", "--code", code)) == (["--json", "--home", str(scene.home("bob"))], [])


def test_a_node_may_have_settings_that_the_others_do_not_have(scene: Scene) -> None:
    code = "say('here', setting=os.environ.get('A_SETTING'))"
    scene.environment["ann"] = {"A_SETTING": "hers"}
    with scene:
        said = {title: scene.start(title, "look", "--code", code) for title in ("ann", "bob")}
        found = {title: process.wait_for("here", timeout_s=60)["setting"] for title, process in said.items()}
    assert found == {"ann": "hers", "bob": None}

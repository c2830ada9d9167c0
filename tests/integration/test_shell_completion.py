"""Completion in the shells themselves: a line is typed, TAB is pressed, and what then stands there is read."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.house import ROOT
from tests.support.processes import Scene

ANSWER_S = 60.0
END = "<end>"


class Place:
    """A folder with a home that holds one model and has names for it, and `p2phub` on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin" / "p2phub"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m p2phub "$@"\n')
        program.chmod(0o755)
        with Scene(folder) as scene:
            model = folder / "amodel"
            model.mkdir()
            (model / "config.json").write_bytes(b"{}")
            self.reference = str(scene.publish("ann", model, name="minilm")["reference"])
            self.home = scene.home("ann")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("P2PHUB_")},
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "P2PHUB_HOME": str(self.home),
            "HOME": str(folder),
            "TERM": "dumb",
            "COLUMNS": "200",
        }
        self.run("p2phub", "name", "add", "alice", self.reference.partition("/")[0])
        self.run("p2phub", "name", "add", "acme/mini", self.reference)

    def script(self, shell: str) -> str:
        return self.run("p2phub", "completion", shell)

    def run(self, *words: str, text: str | None = None) -> str:
        done = subprocess.run(
            words, env=self.environment, cwd=self.folder, input=text, capture_output=True, text=True, timeout=ANSWER_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("completion"))


SET_UP = {
    "bash": r"""bind 'set bell-style none'
show() { printf '<line>%s<end>\n' "$READLINE_LINE"; }
bind -x '"\C-g": show'
""",
    "zsh": r"""PS1='$ '; unsetopt beep prompt_sp prompt_cr
autoload -U compinit && compinit -D -u
show() { print -r -- "<line>$BUFFER<end>" }
zle -N show
bindkey '^I' expand-or-complete; bindkey '^G' show
""",
}
"""Has Control-G print the line as it stands: what it came to is read, and not run."""

START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


def typed(place: Place, shell: str, lines: Iterable[str]) -> list[str]:
    """Return what a real shell makes of each line when TAB is pressed at its end: what Enter would then run."""
    script = place.folder / f"completion.{shell}"
    script.write_text(SET_UP[shell] + place.script(shell) + "echo rea''dy\n")
    parent, child = pty.openpty()
    with open(parent, "r+b", buffering=0) as terminal:
        running = subprocess.Popen(
            START[shell],
            env={**place.environment, "PS1": "$ "},
            cwd=place.folder,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        )
        os.close(child)
        try:
            terminal.write(f"source {script}\n".encode())
            _read_until(terminal, "ready\r\n")
            made = []
            for line in lines:
                terminal.write(line.encode() + b"\t\x07")
                made.append(re.findall("<line>(.*?)<end>", _read_until(terminal, END))[-1])
                terminal.write(b"\x15")  # Control-U: away with the line.
            return made
        finally:
            running.kill()
            running.wait()


def _read_until(terminal: object, end: str) -> str:
    """Raises AssertionError if it does not come in ANSWER_S."""
    found = b""
    descriptor = terminal.fileno()  # type: ignore[attr-defined]
    while end.encode() not in found:
        ready, _, _ = select.select([descriptor], [], [], ANSWER_S)
        assert ready, found.decode(errors="replace")
        found += os.read(descriptor, 65_536)
    return found.decode(errors="replace")


def is_there(shell: str) -> object:
    missing = pytest.mark.skipif(shutil.which(shell) is None, reason=f"there is no {shell} here")
    return pytest.param(shell, marks=missing)


@pytest.mark.parametrize("shell", [is_there("bash"), is_there("zsh")])
def test_a_shell_completes_commands_options_values_folders_what_is_held_and_your_own_names(
    place: Place, shell: str
) -> None:
    expected = {
        "p2phub unpu": "p2phub unpublish ",
        "p2phub node --bul": "p2phub node --bulk-processes ",
        "p2phub publish x --kind data": "p2phub publish x --kind dataset ",
        "p2phub publish --kind=data": "p2phub publish --kind=dataset ",
        "p2phub publish am": "p2phub publish amodel/",
        "p2phub info 12": f"p2phub info {place.reference} ",
        f"p2phub info {place.reference[:-2]}": f"p2phub info {place.reference} ",
        "p2phub info al": "p2phub info alice/minilm ",
        "p2phub info ac": "p2phub info acme/mini ",
    }
    assert dict(zip(expected, typed(place, shell, expected), strict=True)) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_completes_them(place: Place) -> None:
    script = place.script("fish")

    def offered(line: str) -> list[str]:
        told = place.run("fish", "--no-config", text=f"{script}\ncomplete -C '{line}'\n")
        return [each.partition("\t")[0] for each in told.splitlines()]

    assert offered("p2phub unp") == ["unpin", "unpublish"]
    assert offered("p2phub node --bul") == ["--bulk-processes"]
    assert offered("p2phub publish am") == ["amodel/"]
    assert offered("p2phub info 12") == [place.reference]


def test_a_tab_makes_no_home(place: Place) -> None:
    home = place.folder / "none"
    assert place.run("p2phub", "__complete", "--home", str(home), "info", "") == ""
    assert not home.exists()

"""The examples of docs/operations/, as the tests read them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from tests.support.house import ROOT

FOLDER = ROOT / "docs/operations"
COMPOSE = FOLDER / "docker/compose.yaml"
DOCKERFILE = FOLDER / "docker/Dockerfile"
KUBERNETES = FOLDER / "kubernetes/p2phub.yaml"
_STARTERS = ("exec", "p2phub", "fetcher")
"""What stands before the name of a program that is run: of the shell, after `sudo -u p2phub`, after `compose exec`."""

UNITS = (FOLDER / "systemd/p2phub.service", FOLDER / "systemd/user/p2phub.service")


def examples() -> list[Path]:
    return sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".md")


def compose_scripts() -> dict[str, str]:
    """Return the shell script that each service of the Compose file runs, as the shell sees it."""
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return {name: service["command"][0].replace("$$", "$") for name, service in services.items()}


def kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8")))


def pod_spec() -> dict[str, Any]:
    [daemons] = [each for each in kubernetes() if each["kind"] == "DaemonSet"]
    spec: dict[str, Any] = daemons["spec"]["template"]["spec"]
    return spec


def of_dockerfile(instruction: str) -> list[str]:
    """Return what each such instruction says, continued lines joined."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split(" ", 1)[1] for line in text.splitlines() if line.startswith(instruction + " ")]


def command_lines() -> list[tuple[str, list[str]]]:
    """Return each `p2phub …` that an example runs: where it stands, and the words after the program's name."""
    found = [(f"{path.parent.name}/{path.name}", shlex.split(line)[1:]) for path in UNITS for line in _started_by(path)]
    found.append((DOCKERFILE.name, json.loads(of_dockerfile("CMD")[-1])))
    for name, script in compose_scripts().items():
        found += [(f"{COMPOSE.name} {name}", words) for words in _in_shell(script)]
    spec = pod_spec()
    found += [(KUBERNETES.name, each["args"]) for each in spec["containers"]]
    for each in spec["initContainers"]:
        found += [(f"{KUBERNETES.name} {each['name']}", words) for words in _in_shell(each["command"][-1])]
    for path in examples():  # What a comment has the user type.
        lines = re.findall(r"^#   (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found += [(f"{path.name}, to be typed", words) for line in lines for words in _in_shell(line)]
    return found


def _started_by(unit: Path) -> list[str]:
    return re.findall(r"^ExecStart=(.*)$", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _in_shell(script: str) -> list[list[str]]:
    """Return the words of each `p2phub` that a script runs, up to a pipe, a redirection or what follows."""
    lexer = shlex.shlex(script.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[list[str]] = []
    words: list[str] | None = None
    before = ";"
    for token in lexer:
        if set(token) <= set("();<>|&"):
            words = None
        elif words is not None:
            words.append(token)
        elif token == "p2phub" and (set(before) <= set("();<>|&") or before in _STARTERS):
            words = []
            found.append(words)
        before = token
    return found

"""The demo as `make demo` runs it, on a small model: it ends by itself, or stays until Ctrl-C, and leaves nothing."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.house import ROOT
from tests.support.models import make_safetensors_folder

PLAYS_S = 240.0

Demo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the demo's temporary files go, with a short path: that of a socket may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="p2p") as folder:
        yield Path(folder)


@pytest.fixture
def demo(tmp_path: Path, temporary: Path) -> Iterator[Demo]:
    """Start the demo with these options."""
    model = tmp_path / "small"
    make_safetensors_folder(model, 1_000_000)
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "docs/demo/demo.py", "--model", str(model), *options],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def page_in(text: str) -> str:
    [page] = re.findall(r"http://\S+/#token=p2phub_\w+", text)
    return str(page)


def is_there(page: str) -> bool:
    place = urlsplit(page)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


def test_it_ends_by_saying_where_its_page_was_and_how_to_keep_it(demo: Demo, temporary: Path) -> None:
    said, _ = demo().communicate(timeout=PLAYS_S)
    assert "Done: a real model went from one node to another" in said
    assert "make demo KEEP=1" in said.splitlines()[-1]
    assert not is_there(page_in(said))
    assert list(temporary.glob("p2phub-demo-*")) == []


def test_kept_it_stays_until_it_is_told_to_end_and_takes_everything_away(demo: Demo, temporary: Path) -> None:
    kept = demo("--stay")
    assert kept.stdout is not None
    said = ""
    while "until Ctrl-C" not in said:
        line = kept.stdout.readline()
        assert line, said
        said += line
    assert is_there(page_in(said))
    kept.send_signal(signal.SIGINT)
    rest, _ = kept.communicate(timeout=PLAYS_S)
    assert (kept.returncode, "The nodes are ended" in rest) == (0, True)
    assert not is_there(page_in(said))
    assert list(temporary.glob("p2phub-demo-*")) == []

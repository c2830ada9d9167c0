"""Opening the library's door, and catching its errors, costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.house import ROOT

HEAVY = {"trio", "libp2p", "cryptography", "OpenSSL", "sqlite3", "zeroconf", "rich", "asyncio", "msgpack", "blake3"}


def loaded_by(code: str) -> set[str]:
    """Return which modules a fresh Python has loaded after running `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    return set(json.loads(ran.stdout))


@pytest.mark.parametrize("code", ["import p2phub", "import p2phub; dir(p2phub)", "from p2phub import HubError"])
def test_the_door_and_its_errors_load_nothing_heavy(code: str) -> None:
    assert not loaded_by(code) & HEAVY


def test_importing_content_loads_neither_network_nor_tasks() -> None:
    assert not loaded_by("import p2phub.content") & (HEAVY - {"msgpack", "blake3"})


def test_the_events_load_no_task_or_network() -> None:
    assert not loaded_by("from p2phub import Done, Progress, PeerId, Ticket") & {"trio", "libp2p", "OpenSSL", "sqlite3"}


def test_naming_every_verb_loads_no_libp2p() -> None:
    loaded = loaded_by("import p2phub\nfor name in p2phub.__all__: getattr(p2phub, name)")
    assert "trio" in loaded
    assert not loaded & {"libp2p", "zeroconf", "multiaddr", "rich"}

"""A flood of connections takes descriptors; the daemon asks for enough of them, and lives where they run out."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from p2phub.node import control
from p2phub.node.control import call, serve_control
from p2phub.observe import Watch


async def echo(verb: str, args: dict[str, Any], watch: Watch) -> dict[str, Any]:
    return {"verb": verb}


@pytest.mark.usefixtures("runtime")
async def test_a_command_is_answered_once_there_are_descriptors_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control, "ACCEPT_RETRY_S", 0)
    refused: list[int] = []
    with trio.socket.socket() as example:
        kind = type(example)
    accept = kind.accept

    async def accept_when_possible(self: Any) -> Any:
        if len(refused) < 3:
            refused.append(errno.EMFILE)
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(self)

    monkeypatch.setattr(kind, "accept", accept_when_possible)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path, echo)
        assert await call(tmp_path, "ls", {}, lambda event: None) == {"verb": "ls"}
        nursery.cancel_scope.cancel()
    assert len(refused) == 3
    assert "cannot accept commands now: Too many open files" in caplog.text


RAISE = """
import resource
from p2phub.node import lifecycle
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
lifecycle.DESCRIPTORS_WANTED = {wanted}
lifecycle.raise_descriptor_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "then"),
    [
        pytest.param(128, 512, 65536, 512, id="the hard limit is the most there is"),
        pytest.param(128, 512, 256, 256, id="no more is taken than wanted"),
        pytest.param(512, 512, 256, 512, id="a higher limit is left alone"),
    ],
)
def test_the_daemon_may_open_as_many_files_as_the_system_lets_it(soft: int, hard: int, wanted: int, then: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= hard
    program = RAISE.format(soft=soft, hard=hard, wanted=wanted)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(then), str(hard)]

"""A file that stands here: what the gateway gives curl and huggingface_hub of it, and what nginx does.

nginx has no TLS and sends by `sendfile`; to huggingface_hub it is a static hub, as in the race `four`. curl throws away
what it reads, so it is the servers that are compared; huggingface_hub writes it down.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contestants import Hub
from benchmarks.gateway.ground import NAME, gateway_of_held
from benchmarks.payload import Payload
from benchmarks.plan import one_file
from benchmarks.processes import Command, ContestantFailed, started
from benchmarks.store import Ground, Measured
from benchmarks.trial import compare_with_source

GATEWAY, NGINX = "s from the gateway", "s from nginx"


def measure_curl(measured: Measured, ground: Ground, work: Path) -> None:
    """Download one file with curl from either, in each round."""
    payload = one_file(ground.size, ground.cache)
    [file] = payload.files
    paths = {GATEWAY: f"/{NAME}/resolve/main/{file.path}", NGINX: f"/{NAME}/resolve/{'b' * 40}/{file.path}"}

    def download(label: str, url: str, _: Hub) -> float:
        told = "%{time_total} %{http_code} %{size_download}"
        command = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--write-out", told, url + paths[label]]
        ended = ground.run(Command(command, {"NO_PROXY": "127.0.0.1"}), work / "curl")
        seconds, status, size = ended.said[-1].line.split()
        if (status, int(size)) != ("200", file.size):
            raise ContestantFailed(f"{url} answered {status} with {size} bytes")
        return float(seconds)

    _race(measured, ground, work, payload, download)


def measure_hub(measured: Measured, ground: Ground, work: Path) -> None:
    """The same with `snapshot_download`, process start to exit; what came is compared with the source, untimed."""
    payload = one_file(ground.size, ground.cache)

    def download(label: str, url: str, hub: Hub) -> float:
        return download_from(url, hub, ground, payload, work)

    _race(measured, ground, work, payload, download)


def download_from(url: str, hub: Hub, ground: Ground, payload: Payload, work: Path) -> float:
    """Return the seconds of a `snapshot_download` from a URL, by the client of `hub`, which is prepared."""
    into, scratch = work / "into", work / "scratch"
    into.mkdir()
    scratch.mkdir()
    try:
        ended = ground.run(hub.requester(url, into, scratch)[0], work / "client")
        compare_with_source(into, payload)
        return ended.wall_s
    finally:
        shutil.rmtree(into)
        shutil.rmtree(scratch)


@contextmanager
def static_hub(ground: Ground, work: Path, payload: Payload) -> Iterator[tuple[Hub, str]]:
    """Run nginx as a static hub of the payload; gives who fetches from it, and its URL."""
    hub, directory = Hub(cache=ground.cache), work / "nginx"
    directory.mkdir()
    hub.install()
    hub.prepare(payload, directory)
    with started(hub.provider(), stderr=work / "nginx.stderr") as running:
        yield hub, hub.address(running)


def _race(
    measured: Measured, ground: Ground, work: Path, payload: Payload, download: Callable[[str, str, Hub], float]
) -> None:
    with (
        gateway_of_held(ground, work / "home", payload) as (_, url),
        static_hub(ground, work, payload) as (hub, nginx),
    ):
        order = [(GATEWAY, url), (NGINX, nginx)]
        for number in range(ground.how.rounds):
            for label, each in order if number % 2 else reversed(order):
                measured.add(label, download(label, each, hub))
            ours, theirs = measured.figures[GATEWAY][-1], measured.figures[NGINX][-1]
            ground.tell(measured, f"gateway {ours:.2f} s, nginx {theirs:.2f} s")

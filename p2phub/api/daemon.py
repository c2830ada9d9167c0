"""Run this home's node as the daemon until it is told to stop; mend a home that cannot be opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import trio
from msgspec.structs import replace

from p2phub.api.hub import Hub, settings
from p2phub.api.verbs import JsonObject, Verbs, bare_errors, unwatched
from p2phub.errors import HubError
from p2phub.node import Config, gateway_token, lifecycle, load_config, run_daemon, salvage_home
from p2phub.observe import Watch


class Gateway(Protocol):
    """What serves other programs over HTTP beside a node, as `p2phub.gateway` does."""

    async def __call__(self, hub: Hub, *, token: str, task_status: trio.TaskStatus[str]) -> None:
        """Serve until cancelled what `hub` has; `token` is what opens it to changes, and from other machines. Tells its
        URL once it serves. Raises UsageError if it cannot listen."""


async def run_node(
    *,
    home: str | Path | None = None,
    listen: Sequence[str] = (),
    bootstrap: Sequence[str] = (),
    lan: bool | None = None,
    up: str | int | None = None,
    down: str | int | None = None,
    bulk_processes: int | None = None,
    gateway_uploads: bool | None = None,
    upstream: str | None = None,
    gateway: Gateway | None = None,
    metrics: Gateway | None = None,
    watch: Watch = unwatched,
) -> None:
    """Announce and serve what this home holds until SIGINT or SIGTERM; return after `Stopped`.

    `watch` is told `Ready` once the node can be dialled. The options are those of `open_hub` (`up`, `down`: bytes/s);
    `bulk_processes` (default 1) carry the bulk bytes, 0: threads of this process do. `gateway` and `metrics` run
    beside the node, each at a port of its own; `gateway_uploads`: whether what is uploaded to the gateway with its
    token is published, where the settings do not say; `upstream`: the hub that a gateway asks for what nothing here is
    called. Must run in the main thread, which signals reach. Raises
    AlreadyRunning if another daemon holds the home, UsageError (also if the port is taken), NotTrusted, DiskError.
    """
    config = settings(home=home, listen=listen, bootstrap=bootstrap, lan=lan, up=up, down=down)
    if bulk_processes is not None:
        config = replace(config, bulk_processes=load_config(home=home, bulk_processes=bulk_processes).bulk_processes)
    if gateway_uploads is not None:
        config = replace(config, gateway_uploads=gateway_uploads)
    if upstream is not None:
        config = replace(config, upstream=load_config(home=home, upstream=upstream).upstream)
    with bare_errors():
        beside = [None if each is None else _beside(config, each) for each in (gateway, metrics)]
        await run_daemon(config, watch, *beside)


def daemon_settings(
    *,
    home: str | Path | None = None,
    gateway: str | bool | None = None,
    gateway_users: Sequence[str] = (),
    gateway_uploads: bool | None = None,
    upstream: str | None = None,
    metrics: str | bool | None = None,
) -> Config:
    """Return what holds for a home's daemon, and for what stands beside it; options first, then the home's settings.

    Of the result, `log` is how it writes its log ("text" or "json"), `gateway` and `metrics` where they listen (an
    `Address`, None for nowhere; asked for by "IP:PORT", True for the usual place, or "none"), `gateway_users` whose
    programs may read there without the token, `gateway_uploads` whether they may publish with it, `upstream` the hub
    that is asked for what nothing here is called. Raises UsageError, DiskError.
    """
    config = load_config(home=home, gateway=gateway, gateway_users=gateway_users, upstream=upstream, metrics=metrics)
    return config if gateway_uploads is None else replace(config, gateway_uploads=gateway_uploads)


def _beside(config: Config, gateway: Gateway) -> lifecycle.Gateway:
    """Return the gateway as the node runs it: with a hub whose verbs are the node's own."""

    async def run(verbs: Verbs, *, task_status: trio.TaskStatus[str]) -> None:
        token = gateway_token(config.home)  # A small file, read once.
        async with trio.open_nursery() as nursery:
            hub = Hub(verbs, config, nursery=nursery)
            await gateway(hub, token=token, task_status=task_status)

    return run


def examine_closed(error: HubError, *, home: str | Path | None = None) -> list[JsonObject]:
    """Return what can be found of a home that no hub could be opened of, which raised `error`; blocks.

    As `Hub.doctor` returns it. Raises UsageError, DiskError where the settings cannot be read."""
    return lifecycle.examine_closed(load_config(home=home).home, error)


def salvage(*, home: str | Path | None = None) -> tuple[str, ...]:
    """Keep every record of a damaged `state.log` that can be read, and the damaged file beside it; blocks.

    Returns what was done, in words; nothing if the log is sound. A name's highest sequence may be among what is lost,
    so this is for the user to decide. Raises AlreadyRunning while a daemon holds the home, UsageError, DiskError.
    """
    return salvage_home(load_config(home=home).home)

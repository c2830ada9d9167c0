"""The life of a node: a command's transient one, and the daemon.

The daemon holds its home's lock, serves on its port, answers its local socket, keeps the network told, and remembers
whom it knows, so that it finds the network again without a bootstrap. SIGINT and SIGTERM end it in good order.
"""

from __future__ import annotations

import logging
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import trio

from p2phub import limits
from p2phub.errors import Damaged, DiskError, HubError
from p2phub.node.compose import Parts, compose, salvage_state
from p2phub.node.config import Config
from p2phub.node.contained import contained
from p2phub.node.control import serve_control
from p2phub.node.home import hold_home
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs import Verbs
from p2phub.observe import Ready, Stopped, Watch

if TYPE_CHECKING:
    from p2phub.engine.announce import Announcer
    from p2phub.engine.second_look import SecondLook

log = logging.getLogger(__name__)
REMEMBER_PEERS_S = 60.0
PLACES_S = (
    60.0  # Until attached places are looked at again. A look opens a list, and does no more if that is as it was.
)
DESCRIPTORS_WANTED = 65536  # The usual soft limit, 1024, is no more than the undecided connections alone may hold.


@asynccontextmanager
async def open_node(config: Config) -> AsyncIterator[Verbs]:
    """Open a transient node for the length of a command: it dials, but listens to nobody."""
    async with compose(config, serving=False) as parts, trio.open_nursery() as nursery:
        running = Running(parts)
        running.nursery = nursery
        nursery.start_soon(running.keep_caps)
        nursery.start_soon(running.keep_notes)
        try:
            yield Verbs(running)
        finally:
            nursery.cancel_scope.cancel()


def salvage_home(home: Path) -> tuple[str, ...]:
    """Mend a damaged `state.log` as far as it can be read. Raises AlreadyRunning, DiskError. Blocks."""
    with hold_home(home):
        return salvage_state(home)


def examine_closed(home: Path, error: HubError) -> list[dict[str, Any]]:
    """Return what `doctor` finds of a home that cannot be opened, as `error` says. Blocks."""
    from p2phub.engine.doctor import examine_closed_home

    return examine_closed_home(home, error)


class Gateway(Protocol):
    """What serves other programs over HTTP, as a task beside the node."""

    async def __call__(self, verbs: Verbs, *, task_status: trio.TaskStatus[str]) -> None:
        """Serve until cancelled, by these verbs; tells its URL once it does. Raises UsageError if it cannot listen."""


async def run_daemon(
    config: Config, watch: Watch, gateway: Gateway | None = None, metrics: Gateway | None = None
) -> None:
    """Serve until SIGINT or SIGTERM. Emits Ready once it can be dialled, then Stopped. Raises AlreadyRunning, …

    `gateway` and `metrics` run beside it, each at a port of its own."""
    raise_descriptor_limit()
    with hold_home(config.home):
        async with compose(config, serving=True, bulk_processes=config.bulk_processes) as parts:
            await _serve(parts, watch, gateway, metrics)
    watch(Stopped())


def raise_descriptor_limit() -> None:
    """Let this process open as many files as the system lets it, up to DESCRIPTORS_WANTED; never fewer than before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as exc:
        log.warning("the limit of open files stays at %d: %s", soft, exc)


async def _serve(parts: Parts, watch: Watch, gateway: Gateway | None, metrics: Gateway | None) -> None:
    from p2phub.engine.announce import Announcer  # Only the daemon announces,
    from p2phub.engine.second_look import SecondLook  # and looks twice.

    finder = await parts.open_finder()
    announcer = Announcer(finder, store=parts.store, ledger=parts.ledger, workers=parts.workers, own=parts.key.peer_id)
    running = Running(parts, announcer)
    verbs = _DaemonVerbs(running)
    async with trio.open_nursery() as nursery:
        running.nursery = nursery
        await nursery.start(_end_on_signal, nursery.cancel_scope)
        nursery.start_soon(announcer.run)
        nursery.start_soon(_remember_peers, parts)
        nursery.start_soon(_announce_once_joined, parts, announcer)
        nursery.start_soon(_look_at_places, running)
        second_look = SecondLook(parts.store, parts.workers, running.shelf_changed)
        nursery.start_soon(_check_store, parts, second_look)
        parts.shelf.in_doubt = second_look.doubt
        nursery.start_soon(second_look.run)
        nursery.start_soon(running.keep_caps)
        nursery.start_soon(running.keep_notes)
        nursery.start_soon(parts.catalog.keep_up)
        await nursery.start(serve_control, parts.config.home, verbs.call)
        at = [None if beside is None else await nursery.start(_beside, beside, verbs) for beside in (gateway, metrics)]
        watch(
            Ready(
                peer_id=str(parts.key.peer_id),
                publisher_id=str(parts.publisher.peer_id),
                addresses=[str(address) for address in parts.addresses()],
                gateway=at[0],
                metrics=at[1],
            )
        )


class _DaemonVerbs(Verbs):
    """The verbs of a node that others use, too: a fault of our own in one of them ends that one."""

    async def call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        with contained(f"the command {verb[:40]}"):
            return await super().call(verb, args, watch)


async def _beside(gateway: Gateway, verbs: Verbs, *, task_status: trio.TaskStatus[str]) -> None:
    await gateway(verbs, task_status=task_status)


async def _check_store(parts: Parts, second_look: SecondLook) -> None:
    """Mend the index if it was damaged, which may mean to hash what it no longer knows. What is on a disk that is not
    mounted now is looked for from then on."""
    try:
        for mended in await parts.workers.run_long(parts.store.check):
            log.warning("the store: %s", mended)
        second_look.look_for(await parts.workers.run_long(parts.store.away))
    except (
        DiskError,
        Damaged,
    ) as exc:  # Whoever needs the store will hear of it; until then the node can serve what it can.
        log.warning("the store could not be checked: %s", exc)


async def _look_at_places(running: Running) -> None:
    """Say in shared places what is held by now, and offer what is in attached ones, of which what was verified is
    served. Again now and then: a place may be mounted later, and nobody may ask for anything meanwhile."""
    told = None
    while True:
        await running.places.look()
        if told is None or running.places.is_behind:
            await running.places.tell()
        if running.announcer is not None and told != (told := running.parts.places.stamp()):
            running.announcer.refresh()
        await trio.sleep(PLACES_S)


async def _end_on_signal(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


async def _announce_once_joined(parts: Parts, announcer: Announcer) -> None:
    """What nobody could be told of while this node knew nobody is announced as soon as it knows somebody."""
    await parts.joined()
    announcer.came_online()


async def _remember_peers(parts: Parts) -> None:
    """Write down whom we know, now and then and at the end."""
    try:
        while True:
            await trio.sleep(REMEMBER_PEERS_S)
            await _try_to_remember(parts)
    finally:
        with trio.move_on_after(limits.GOODBYE_S, shield=True):
            await _try_to_remember(parts)


async def _try_to_remember(parts: Parts) -> None:
    try:
        await parts.remember_peers()
    except DiskError as exc:  # The next start may need a bootstrap; this node does not.
        log.warning("known peers are not remembered: %s", exc)

"""The hub: every verb of p2phub as an async method, with types.

`open_hub` gives the same hub whether a daemon runs for this home or not: with one, verbs are carried out by it, over
its local socket; without, by this process for as long as the hub is open. Events of a verb go to `watch`, in order.
The verbs stand in the files of their subjects; `api/verbs` says which those are.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from p2phub.api.drafting import DraftingVerbs
from p2phub.api.fetching import FetchingVerbs
from p2phub.api.home import HomeVerbs
from p2phub.api.keeping import KeepingVerbs
from p2phub.api.looking import LookingVerbs
from p2phub.api.programs import ProgramVerbs
from p2phub.api.publishing import PublishingVerbs
from p2phub.api.reading import ReadingVerbs
from p2phub.api.sharing import SharingVerbs
from p2phub.api.showing import ShowingVerbs
from p2phub.api.upstream import UpstreamVerbs
from p2phub.api.verbs import Verbs, bare_errors, several
from p2phub.node import KEYS_FOLDER, Config, daemon_running, load_config, open_node, parse_cap, remote_verbs

_log = logging.getLogger(__name__)


class Hub(
    PublishingVerbs,
    DraftingVerbs,
    FetchingVerbs,
    ReadingVerbs,
    ProgramVerbs,
    LookingVerbs,
    ShowingVerbs,
    KeepingVerbs,
    SharingVerbs,
    UpstreamVerbs,
    HomeVerbs,
):
    """The verbs, as async methods for trio. Get one from `open_hub`.

    In what they return sizes are bytes and times seconds, points in time seconds since 1970 (unix). Beside what each
    says it raises, a verb may raise NodeGone if the daemon that carries it out goes away meanwhile.
    """

    def __init__(
        self,
        verbs: Verbs,
        config: Config,
        *,
        transient: bool = False,
        up: int | None = None,
        down: int | None = None,
        nursery: trio.Nursery | None = None,
    ) -> None:
        super().__init__(verbs, up=up, down=down, nursery=nursery)
        self._config = config
        self._transient = transient

    @property
    def transient(self) -> bool:
        """Whether this process does the work, and serves for as long as the hub is open; else a daemon does."""
        return self._transient

    @property
    def allow_unsafe(self) -> bool:
        """Whether the settings allow files that may run code when they are loaded, where a call does not say."""
        return self._config.allow_unsafe

    @property
    def gateway_uploads(self) -> bool:
        """Whether the settings allow that what is uploaded to a gateway of this hub is published."""
        return self._config.gateway_uploads

    @property
    def upstream(self) -> str | None:
        """The URL of the hub that a gateway of this hub asks for what nothing here is called, if the user named one."""
        return None if self._config.upstream is None else str(self._config.upstream)


@asynccontextmanager
async def open_hub(
    *,
    home: str | Path | None = None,
    listen: Sequence[str] = (),
    bootstrap: Sequence[str] = (),
    lan: bool | None = None,
    up: str | int | None = None,
    down: str | int | None = None,
) -> AsyncIterator[Hub]:
    """Open the hub of a home (default: $P2PHUB_HOME, else the platform's data folder): `async with open_hub() as hub`.

    `listen`: IP:PORT; `bootstrap`: multiaddrs with /p2p/PEER to find the network by; `lan`: look on the local network.
    `up`, `down`: caps in bytes/s (20_000_000, "20MB", "20MiB", or "none"); where a daemon does the work they hold for
    each fetch of this hub, beside the daemon's own. What is not given comes from the environment and the home's config.
    Raises UsageError, NotTrusted, DiskError.
    """
    config = settings(home=home, listen=listen, bootstrap=bootstrap, lan=lan, up=up, down=down)
    with bare_errors():
        if daemon_running(config.home):
            if listen or bootstrap:
                _log.warning(
                    "a node runs for %s and does the work: where it listens and whom it asks was set when it "
                    "started, and is not changed by this call",
                    config.home,
                )
            async with trio.open_nursery() as nursery:
                yield Hub(
                    remote_verbs(config.home),
                    config,
                    up=None if up is None else parse_cap(up),
                    down=None if down is None else parse_cap(down),
                    nursery=nursery,
                )
                nursery.cancel_scope.cancel()
            return
        async with open_node(config) as verbs, trio.open_nursery() as nursery:
            yield Hub(verbs, config, transient=True, nursery=nursery)
            nursery.cancel_scope.cancel()


def has_home(*, home: str | Path | None = None) -> bool:
    """Return whether there is a home that a hub could be opened of without making one. Raises UsageError, DiskError."""
    return (load_config(home=home).home / KEYS_FOLDER).is_dir()


def settings(
    *,
    home: str | Path | None,
    listen: Sequence[str],
    bootstrap: Sequence[str],
    lan: bool | None,
    up: str | int | None,
    down: str | int | None,
) -> Config:
    """Return what options, environment and the home's file say together. Raises UsageError for what makes no sense."""
    return load_config(home=home, listen=several(listen), bootstrap=several(bootstrap), lan=lan, up=up, down=down)

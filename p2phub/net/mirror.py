"""Mirrors as sources: the door to `mirror_link` (chunks, metadata) and to the releases that a mirror may hold.

Loaded when a fetch has a mirror, and not before. Source: proto/mirror.md; reasons: docs/decisions/0022.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import PeerGone
from p2phub.identity import MirrorId, PeerId
from p2phub.manifest import mirror_release_path
from p2phub.net.alone import alone
from p2phub.net.hub import HubHttp
from p2phub.net.interface import Hub
from p2phub.net.mirror_address import look_up
from p2phub.net.mirror_http import Absent, MirrorHttp
from p2phub.net.mirror_link import MirrorLink
from p2phub.net.throttle import Throttle

_WORKERS = 2  # Threads that hash and write, of all mirrors together: the loop feeds no more.


class MirrorPlane:
    """`net.interface.Mirrors`. Links run in `nursery`, and end with it; `down`: the caps that they keep."""

    def __init__(self, nursery: trio.Nursery, *, down: Throttle | None = None) -> None:
        self._nursery = nursery
        self._down = Throttle() if down is None else down
        self._tls: ssl.SSLContext | None = None
        self._workers = trio.CapacityLimiter(_WORKERS)

    async def open_link(self, mirror: MirrorId, manifest: Digest, *, wants_manifest: bool) -> MirrorLink:
        """Find where the mirror is and begin to ask. Raises PeerGone, MirrorUnusable."""
        http = self._http(mirror)
        link = MirrorLink(mirror, http, manifest, address=await http.find(), workers=self._workers, down=self._down)

        async def run() -> None:
            with suppress(PeerGone), alone("a link", mirror):  # Which has told already that it closed.
                await link.run(wants_manifest=wants_manifest)

        self._nursery.start_soon(run)
        return link

    async def release(self, mirror: MirrorId, publisher: PeerId, name: str, tag: str) -> bytes | None:
        """Return the signed release that the mirror has of a name, unchecked; None if it has none. Raises PeerError."""
        http = self._http(mirror)
        try:
            return await http.whole(mirror_release_path(publisher, name, tag), most=limits.RELEASE_BYTES_MAX)
        except Absent:
            return None
        finally:
            await http.aclose()

    def open_hub(self, mirror: MirrorId, token: str | None) -> Hub:
        """Return how a hub of models is asked, with a token or without."""
        return HubHttp(self._http(mirror, token), self._down)

    def _http(self, mirror: MirrorId, token: str | None = None) -> MirrorHttp:
        return MirrorHttp(mirror, make_tls=self._make_tls, look_up=look_up, token=token)

    def _make_tls(self) -> ssl.SSLContext:
        """Return how servers prove their names: by the authorities that this machine trusts."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

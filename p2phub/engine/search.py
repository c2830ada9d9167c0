"""Who may have a manifest: first the providers that are already known, then those that finders (LAN, DHT) find.

Finders are opened late: a fetch by ticket or known provider that succeeds never loads libp2p. One that proves long has
the local network alone asked meanwhile: a neighbour may have it, too (`engine.nearness`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Codec, Digest
from p2phub.discovery import Candidate
from p2phub.identity import MirrorId
from p2phub.net import Finder

_log = logging.getLogger(__name__)
ASKED_SHOWN = 8
OpenFinder = Callable[[], Awaitable[Finder]]
OpenLan = Callable[[], Awaitable[Finder | None]]
"""Gives what finds neighbours alone, without loading libp2p; None where the user will have none."""


class Search:
    """One search for providers, in rounds. Round 0 offers `known` alone, if any are; later ones ask the finders too.

    `mirrors` are sources that need no finding: those `given` for this fetch are as good as known providers, so finders
    wait for them as well; those of the configuration are for every fetch, so they race with whom the finders find.
    """

    def __init__(
        self,
        known: Sequence[Candidate],
        open_finder: OpenFinder,
        *,
        given: Sequence[MirrorId] = (),
        configured: Sequence[MirrorId] = (),
        open_lan: OpenLan | None = None,
        public: bool = False,
        parents: Sequence[Digest] = (),
    ) -> None:
        """`open_lan` is None where neighbours are not to be asked for this before all else has failed. `public`: its
        files may be looked for, too, which tells that they are wanted, and so may its `parents`: manifests that it
        came of."""
        self.known = tuple(known)
        self.given = tuple(given)
        self.mirrors = tuple(dict.fromkeys((*given, *configured)))[: limits.MIRRORS_MAX]
        self._open_finder = open_finder
        self._open_lan = open_lan
        self.may_look_near = open_lan is not None
        """Whether the local network was not asked yet, and may be."""
        self.public = public
        self.parents = tuple(dict.fromkeys(parents))[: limits.PARENTS_LOOKED_FOR_MAX]
        self._kin_taken: set[Digest] = set()
        self._finder: Finder | None = None
        self._looked_far = False
        self.announced = False  # Whether the DHT named a provider: what is announced there is for everybody.

    def more(self) -> bool:
        """Whether the next round asks somebody who was not asked yet."""
        return not self._looked_far

    def asked(self) -> str:
        """Say who was asked, for the error that nobody has it."""
        asked = [*(str(candidate.provider) for candidate in self.known), *map(str, self.mirrors)]
        if self._finder is not None:
            asked.extend(str(who) for who in self._finder.asked())
        return ", ".join(asked[:ASKED_SHOWN]) or "nobody: no provider, bootstrap node or LAN peer is known"

    async def look(self, manifest: Digest, round_number: int, found: trio.MemorySendChannel[Candidate]) -> None:
        """Send every candidate of this round; returns when all have been asked."""
        for candidate in self.known:
            await found.send(candidate)
        if round_number == 0 and (self.known or self.given):
            _log.info("asking those that are known first: %d peers, %d mirrors", len(self.known), len(self.mirrors))
            return
        self._looked_far = True
        self.may_look_near = False
        self._finder = await self._open_finder()
        _log.info("looking for providers of %s, round %d", manifest.text(Codec.MSGPACK), round_number + 1)
        await self._ask(self._finder, manifest, found)

    async def look_near(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        """Send every candidate of the local network, if that may be asked; beside the rounds, and none of them."""
        self.may_look_near = False
        finder = await self._open_lan() if self._open_lan is not None else None
        if finder is not None:
            _log.info("it takes a while: asking the local network, too")
            await self._ask(finder, manifest, found)

    def may_look_for(self, kin: Iterable[Digest]) -> bool:
        """Whether there are files alone, or parents, that were not looked for yet, and may be."""
        return self.public and any(digest not in self._kin_taken for digest in (*kin, *self.parents))

    def take_kin(self, kin: Iterable[Digest]) -> list[Digest]:
        """Return those that were not looked for yet; from now on they count as looked for."""
        taken = [digest for digest in kin if digest not in self._kin_taken]
        self._kin_taken.update(taken)
        return taken

    async def look_for_kin(self, kin: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        """Send every candidate that has `kin`, another manifest with chunks of this one."""
        finder = self._finder or await self._open_finder()
        _log.info("looking for who has some of it in %s", kin.text(Codec.MSGPACK))
        await self._ask(finder, kin, found, kin=kin)

    async def _ask(
        self,
        finder: Finder,
        manifest: Digest,
        found: trio.MemorySendChannel[Candidate],
        *,
        kin: Digest | None = None,
    ) -> None:
        send, heard = trio.open_memory_channel[Candidate](0)

        async def ask() -> None:
            async with send:
                await finder.providers(manifest, send)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            async for candidate in heard:
                _log.info("found %s, named by %s", candidate.provider, candidate.via)
                self.announced = self.announced or (candidate.via == "dht" and kin is None)
                await found.send(candidate if kin is None else replace(candidate, kin=kin))
        asked = finder.asked()
        _log.info("the search is over; asked: %s", ", ".join(map(str, asked[:ASKED_SHOWN])) or "nobody")

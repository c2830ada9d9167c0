"""From what a user typed to a manifest digest: which release of a name do we believe?

Providers and mirrors that the user gave are asked first, and if one of them answers with a release that holds, nobody
else is. Else the peers of the LAN and the DHT, the configured mirrors and the attached places are asked together, and
the newest release that holds wins.
What is accepted is remembered durably, so that no later answer can roll it back. Source: proto/release.md §4.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import trio

from p2phub import limits
from p2phub.content import Codec, Digest
from p2phub.discovery import Candidate
from p2phub.engine.answers import NO_RELEASE, Answers, Told
from p2phub.engine.mirrors import OpenMirrors, mirrors_of, no_mirrors
from p2phub.engine.own_names import OwnNames
from p2phub.engine.waiting import Looks
from p2phub.engine.workers import Workers
from p2phub.errors import NoProvider, NotFound, PeerError
from p2phub.identity import MirrorId, PeerAddress, PeerId
from p2phub.manifest import (
    Known,
    Name,
    Release,
    check_release,
    parse_reference,
    read_release,
)
from p2phub.net import Dialler, Finder
from p2phub.store import Accepted, Ledger
from p2phub.wire import GetRelease, ReleaseIs

W = TypeVar("W", PeerAddress, MirrorId)
_log = logging.getLogger(__name__)
BESIDE_LENT_S = 5.0  # How long the network is asked for a newer release than one that is at hand.
ASK_S = 10.0  # One peer's answer to a question about a name, dial and handshake included.


class Resolved(msgspec.Struct, frozen=True):
    """A reference, resolved. `release` and `signed` where a publisher's word led to the manifest; `known`: providers
    that came with it."""

    manifest: Digest
    release: Release | None = None
    signed: bytes = b""
    known: tuple[Candidate, ...] = ()

    def known_with(self, given: Sequence[PeerAddress]) -> tuple[Candidate, ...]:
        """Return whom to ask first: the providers that the user gave, and those that came with the reference."""
        return tuple(dict.fromkeys((*(Candidate(address, "direct") for address in given), *self.known)))


class Resolver:
    """Resolves references by the user's own names, what was accepted before, given providers and mirrors, and finders.

    `mirrors` are the configured ones, as templates; `lent` tells the releases of a name that lie in attached places,
    and blocks. What needs no network blocks, for the ledger is a file: it runs in a worker, as `resolve` has it run.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        workers: Workers,
        dialler: Dialler,
        open_finder: Callable[[], Awaitable[Finder]],
        open_mirrors: OpenMirrors = no_mirrors,
        mirrors: Sequence[str] = (),
        lent: Callable[[PeerId, str, str], Sequence[bytes]] | None = None,
    ) -> None:
        self.names = OwnNames(ledger)
        self._ledger = ledger
        self._workers = workers
        self._dialler = dialler
        self._open_finder = open_finder
        self._open_mirrors = open_mirrors
        self._mirrors = tuple(mirrors)
        self._lent = lent

    # --- without the network: these block ------------------------------------------------------------------------

    def local(self, text: str) -> Digest:
        """Return the manifest `text` means by what this home published or accepted. Raises NotFound, UsageError."""
        return self.known_here(text).manifest

    def known_here(self, text: str) -> Resolved:
        """The same, with the release that says so; without it for a digest. Raises NotFound, UsageError."""
        reference = self.names.mapped(parse_reference(text))
        if reference.digest is not None:
            return Resolved(reference.digest)
        signed = self._signed_here(self.names.name_of(text))
        if signed is None:
            raise NotFound(f"{text} is not known here", hint="`p2phub ls` shows what is held")
        release = read_release(signed)
        return Resolved(release.manifest, release, signed)

    def _settled_here(self, text: str) -> Resolved | tuple[Name, Known | None]:
        """Return what `text` means if that needs nobody else; else the name to ask for, and what is known of it."""
        reference = self.names.mapped(parse_reference(text))
        if reference.ticket is not None:
            ticket = reference.ticket
            known = tuple(Candidate(provider, "direct") for provider in ticket.providers)
            return Resolved(ticket.manifest, ticket.publisher_release(), ticket.release or b"", known)
        if reference.digest is not None:
            return Resolved(reference.digest)
        name = self.names.name_of(text)
        for item in self._ledger.publications():
            if (item.publisher, item.name, item.tag) == name:
                return Resolved(item.manifest, read_release(item.signed), item.signed)
        return name, self._known(name)

    def _known(self, name: Name) -> Known | None:
        accepted = self._ledger.accepted(*name)
        if accepted is None:
            return None
        return Known(accepted.signed, read_release(accepted.signed), accepted.evidence)

    def _remember(self, release: Release, signed: bytes) -> None:
        """Accept what came with a ticket as if a peer had told it, so that what is fetched by it has a name here, too.

        The ticket leads to its manifest all the same where the release expired, or is older than what is known. Of a
        name that is published here nothing is learnt: the publication says what it means.
        """
        name = release.publisher, release.name, release.tag
        if any((item.publisher, item.name, item.tag) == name for item in self._ledger.publications()):
            return
        answers = Answers(self._known(name), name)
        answers.judge(signed)
        self._accept(name, answers)

    def _accept(self, name: Name, answers: Answers) -> None:
        if answers.changed and answers.known is not None:
            known = answers.known
            self._ledger.accept(*name, Accepted(known.signed, known.release.sequence, known.evidence))

    def _signed_here(self, name: Name) -> bytes | None:
        for item in self._ledger.publications():
            if (item.publisher, item.name, item.tag) == name:
                return item.signed
        accepted = self._ledger.accepted(*name)
        return accepted.signed if accepted is not None else None

    # --- with the network ----------------------------------------------------------------------------------------

    async def resolve(
        self,
        text: str,
        given: Sequence[PeerAddress],
        mirrors: Sequence[str] = (),
        *,
        looks: Looks | None = None,
    ) -> Resolved:
        """Return the manifest that `text` means now. `given` and `mirrors` (templates) are those named for this.

        `looks`: it is looked up again while nobody knows it, or is there to be asked; None: it is not. Raises
        UsageError, NotFound, NoProvider, NotTrusted.
        """
        while True:
            settled = await self._workers.run(lambda: self._settled_here(text))
            if isinstance(settled, Resolved):
                if settled.release is not None:
                    await self._workers.run(partial(self._remember, settled.release, settled.signed))
                return settled
            name, known = settled
            try:
                named = mirrors_of(mirrors, name=name, manifest=None)
                return await self._look_up(text, name, known, given, named, waits=looks is not None and looks.waits)
            except (NotFound, NoProvider) as error:
                if looks is None:
                    raise
                nobody = error
            await looks.pause(nobody)

    async def _look_up(
        self,
        text: str,
        name: Name,
        before: Known | None,
        given: Sequence[PeerAddress],
        mirrors: Sequence[MirrorId],
        *,
        waits: bool,
    ) -> Resolved:
        """`waits`: what strangers have that does not hold is not the end of it, since it is looked up again."""
        answers = Answers(before, name)
        if given or mirrors:
            _log.info("asking %s for releases of %s", ", ".join(map(str, (*given, *mirrors))), text)
        told = await self._ask_all(given, mirrors, name)
        for signed in told.found:
            answers.judge(signed)
        whom: tuple[object, ...] = (*given, *mirrors)
        if not answers.good:
            at_hand = self._lent is not None and answers.judge_strangers(
                await self._workers.run(partial(self._lent, *name))
            )
            configured = mirrors_of(self._mirrors, name=name, manifest=None)
            whom = (*whom, *configured)
            _log.info("asking the network for releases of %s", text)
            # Where a place at hand knows one, the network may know a newer one; but nobody waits long for that.
            with trio.move_on_after(BESIDE_LENT_S if at_hand else math.inf):
                finder, found = await self._ask_further(name, configured)
                answers.judge_strangers(found)
                whom = (*whom, *finder.asked())
        await self._workers.run(lambda: self._accept(name, answers))
        reached = told.reached > 0 or not (given or mirrors)
        known = answers.believed(text, whom, told.without, reached=reached, waits=waits)
        if not answers.good:
            # Nobody answered: what we accepted before, if it still holds.
            check_release(known.release, now=time.time())
        _log.info("%s is %s, by release %d", text, known.release.manifest.text(Codec.MSGPACK), known.release.sequence)
        return Resolved(known.release.manifest, known.release, known.signed)

    async def _ask_further(self, name: Name, configured: Sequence[MirrorId]) -> tuple[Finder, list[bytes]]:
        """Ask the finder and the configured mirrors together; return the finder, and the releases that were found."""
        found: list[bytes] = []

        async def ask_mirrors() -> None:
            found.extend((await self._ask_all((), configured, name)).found)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_mirrors)
            finder = await self._open_finder()
            found.extend(await finder.release(*name))
        return finder, found

    async def _ask_all(self, peers: Sequence[PeerAddress], mirrors: Sequence[MirrorId], name: Name) -> Told:
        told = Told()

        async def ask_mirror(mirror: MirrorId) -> None:
            told.heard(mirror, await self._open_mirrors().release(mirror, *name), without=NO_RELEASE)

        async def ask(peer: PeerAddress) -> None:
            control = await self._dialler.open_control(peer)
            try:
                answer = await control.ask(GetRelease(*name))
            finally:
                with trio.move_on_after(limits.GOODBYE_S, shield=True):
                    await control.aclose()
            if isinstance(answer, ReleaseIs):
                told.heard(peer, answer.signed, without="does not know it")

        async def bounded(asking: Callable[[W], Awaitable[None]], whom: W) -> None:
            with trio.move_on_after(ASK_S) as scope:
                try:
                    await asking(whom)
                except PeerError as error:
                    told.without[whom] = error.message
            if scope.cancelled_caught:
                told.without[whom] = f"does not answer within {ASK_S:.0f} s"

        async with trio.open_nursery() as nursery:
            for peer in peers[: limits.PROVIDERS_PER_KEY_MAX]:
                nursery.start_soon(bounded, ask, peer)
            for mirror in mirrors:
                nursery.start_soon(bounded, ask_mirror, mirror)
        return told

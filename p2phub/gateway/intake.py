"""Where large files wait for a commit: one draft of a hub's of which no version comes, but which others use.

It is opened for whoever first has something kept, and let go of, with all that is in it, GATEWAY_UPLOAD_IDLE_S after
the last use. What its users say of Xet's chunks is remembered beside it, within bounds over all of them.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from p2phub import api, limits
from p2phub.gateway.upload_routes import GRANT_DIGITS
from p2phub.gateway.xet import XetFile, Xorb
from p2phub.http.refusal import Refusal


class Intakes:
    """The intake of a hub: at most one at a time, each with a grant of its own."""

    def __init__(self, hub: api.Hub) -> None:
        self._hub = hub
        self._intake: Intake | None = None
        self._opening = trio.Lock()

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Intake]:
        """Yield what keeps what comes; it stays until the end of the block, and a while longer."""
        async with self._opening:
            if self._intake is None:
                draft = self._hub.open_draft()
                await draft.__aenter__()
                self._intake = Intake(draft)
            intake = self._intake
            intake.users += 1
        try:
            yield intake
        finally:
            intake.users -= 1
            intake.used_at = trio.current_time()

    @asynccontextmanager
    async def of_grant(self, grant: str) -> AsyncIterator[Intake]:
        """The same, for who was told its grant. Raises Refusal(403)."""
        # Looked at first: who has no grant, as another user of this machine, neither opens a draft nor keeps one open.
        if self._intake is None or not secrets.compare_digest(self._intake.grant, grant):
            raise nothing_granted()
        async with self.used() as intake:
            if not secrets.compare_digest(intake.grant, grant):  # It went while we waited.
                raise nothing_granted()
            yield intake

    async def tidy(self) -> None:
        """Let go of what was uploaded and not committed, until cancelled."""
        while True:
            await trio.sleep(limits.GATEWAY_UPLOAD_IDLE_S / 8)
            async with self._opening:
                intake = self._intake
                idle = intake is not None and trio.current_time() - intake.used_at >= limits.GATEWAY_UPLOAD_IDLE_S
                if intake is not None and not intake.users and idle:
                    await self.close()

    async def close(self) -> None:
        """Let go of what is kept."""
        if self._intake is not None:
            intake, self._intake = self._intake, None
            await intake.draft.__aexit__(None, None, None)


class Intake:
    """A draft of which no version comes: it keeps what others will use. `grant` is what its chunks are put by."""

    def __init__(self, draft: api.Draft) -> None:
        self.draft = draft
        self.grant = secrets.token_hex(GRANT_DIGITS // 2)
        self.users = 0
        self.used_at = trio.current_time()
        self.xorbs: dict[str, Xorb] = {}  # By hash, as clients write it.
        self.xorbs_coming = 0
        self.xorb_files: dict[str, str] = {}
        self.files: dict[str, XetFile] = {}  # By SHA-256.
        self._chunks = 0
        self._segments = 0

    def need_chunks(self, count: int) -> None:
        """Raise Refusal(413) where so many more would be too many."""
        if self._chunks + count > limits.GATEWAY_CHUNKS_MAX:
            raise Refusal(413, "too many chunks in one upload")

    def keep_chunks(self, count: int) -> None:
        """Count chunks that are remembered from now on. Raises Refusal(413) for too many."""
        self.need_chunks(count)
        self._chunks += count

    def keep_files(self, files: Sequence[XetFile]) -> None:
        """Remember what files are made of. Raises Refusal(413) for too much."""
        new = {file.sha256: file for file in files}
        more = sum(1 + len(file.segments) for file in new.values())
        less = sum(1 + len(known.segments) for each in new if (known := self.files.get(each)) is not None)
        if self._segments + more - less > limits.GATEWAY_SEGMENTS_MAX:
            raise Refusal(413, "too many files, or parts of files, in one upload")
        self._segments += more - less
        self.files.update(new)


def nothing_granted() -> Refusal:
    """Return what answers a URL that was not granted, or long ago."""
    return Refusal(403, "nothing is to be put here, or no more")

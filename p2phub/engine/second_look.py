"""Look once more at files that were found changed while they were served: perhaps only their times or links are other.

A file in doubt is not served. It is read again a moment later, in a worker, and served again if it is what was hashed;
else that is said, and it stays in doubt until somebody publishes, adopts or verifies it anew. What the disk failed to
tell is asked once more a while later.

What is not there at all may be on a disk that is not mounted. So one file of each such holding is looked for now and
then, which costs next to nothing, and when it is back all that is in doubt there is read again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import trio

from p2phub.content import Digest
from p2phub.engine.workers import Workers
from p2phub.errors import HubError
from p2phub.store import Away, Store

_log = logging.getLogger(__name__)
SETTLE_S = 3.0  # Whoever writes a file is given so long to come to an end with it.
RETRY_S = 60.0
AWAY_S = 60.0
AWAY_MAX = 4096  # Holdings of which something is looked for. Of more it takes a check, or a restart, to find them back.
TRIES_MAX = 3
SAY_AGAIN_S = 3600.0  # Until then it is the same loss, which several doubts may tell of.
SAID_MAX = 4096
WAITING_MAX = 4096  # More than a folder's worth of changes at once is looked at by the next publish or check.


class SecondLook:
    """Files in doubt of one node. `changed` is told of each manifest of which more is held again."""

    def __init__(self, store: Store, workers: Workers, changed: Callable[[Digest], None]) -> None:
        self._store, self._workers, self._changed = store, workers, changed
        self._token: trio.lowlevel.TrioToken | None = None
        self._waiting: dict[tuple[Digest, int], int] = {}  # With how often the disk failed to tell.
        self._failed: dict[tuple[Digest, int], int] = {}
        self._said: dict[str, float] = {}  # When each loss was told of last, the earliest first.
        self._away: dict[tuple[Digest, Path], int] = {}  # By holding a file that was not there.
        self._wanted = trio.Event()
        self.looking = False  # Whether one is being read.

    @property
    def waiting(self) -> int:
        """How many files are still to be looked at."""
        return len(self._waiting)

    def look_for(self, gone: Iterable[Away]) -> None:
        """Have it served again what is not there now, once it is."""
        for each in gone:
            self._note_away(each.manifest, each.folder, each.file)

    def _note_away(self, manifest: Digest, folder: Path, file: int) -> None:
        if len(self._away) < AWAY_MAX:
            self._away.setdefault((manifest, folder), file)

    def doubt(self, manifest: Digest, file: int) -> None:
        """Note that a file is in doubt. Thread-safe; without a running `run` it does nothing."""
        if self._token is not None:
            self._token.run_sync_soon(self._note, manifest, file)

    def _note(self, manifest: Digest, file: int) -> None:
        if len(self._waiting) < WAITING_MAX:
            self._waiting.setdefault((manifest, file), 0)
            self._wanted.set()

    async def run(self) -> None:
        """Look at what is in doubt, one file after the other, until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_at_doubts)
                nursery.start_soon(self._look_for_away)
        finally:
            self._token = None

    async def _look_for_away(self) -> None:
        while True:
            await trio.sleep(AWAY_S)
            for (manifest, folder), file in list(self._away.items()):
                try:
                    found = await self._workers.run_long(partial(self._store.look_again, manifest, file))
                    if folder in found.away:
                        continue
                    del self._away[manifest, folder]
                    doubted = await self._workers.run_long(partial(self._store.in_doubt, manifest, folder))
                except HubError as error:  # Still no word of it from the disk.
                    _log.info("%s is looked for again later: %s", folder, error)
                    continue
                if found.restored:
                    _log.warning("%s is back, and served again as far as it is what was hashed", folder)
                    self._changed(manifest)
                for number in doubted:
                    await self._look(manifest, number, TRIES_MAX)

    async def _look_at_doubts(self) -> None:
        while True:
            with trio.move_on_after(RETRY_S if self._failed else math.inf):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.sleep(SETTLE_S)
            self._waiting, self._failed = {**self._failed, **self._waiting}, {}
            while self._waiting:
                (manifest, file), failed = next(iter(self._waiting.items()))
                del self._waiting[manifest, file]
                self.looking = True
                await self._look(manifest, file, failed)
                self.looking = False

    async def _look(self, manifest: Digest, file: int, failed: int) -> None:
        try:
            found = await self._workers.run_long(lambda: self._store.look_again(manifest, file))
        except HubError as error:
            _log.warning("a file that changed could not be read again: %s", error)
            if failed + 1 < TRIES_MAX:
                self._failed[manifest, file] = failed + 1
            return
        if found.restored or not found.lost:
            self._changed(manifest)
        for folder in found.away:
            self._note_away(manifest, folder, file)
        for path in found.lost:
            if self._is_news(path):
                _log.warning("%s is gone, or not what it was when it was hashed; it is not served any more", path)

    def _is_news(self, path: str) -> bool:
        now = trio.current_time()
        if now - self._said.pop(path, -math.inf) < SAY_AGAIN_S:
            self._said[path] = now
            return False
        while len(self._said) >= SAID_MAX:
            del self._said[next(iter(self._said))]
        self._said[path] = now
        return True

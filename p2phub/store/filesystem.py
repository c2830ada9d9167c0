"""The store of a home on a real disk: metadata in the home, content in the user's own folders, as ordinary files.

    HOME/blobs/          manifest pages, chunk lists, layouts          (blobs)
    HOME/index.sqlite    what stands where, with fingerprints          (database, can be made again)
    HOME/state.log       which folders hold what, and the ledger       (state_log, cannot)
    HOME/journal.key     what tells our own journals from others       (secret)
    DIR/.p2phub/         one fetch into DIR, while it is written       (destination, journal, arrival)
Several processes may use one home. Nothing of a user's file is ever changed, unless a fetch was told to (`force`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from p2phub.content import ChunkTable, Digest, Readable, ReadPlan, encode_lists
from p2phub.manifest import Manifest
from p2phub.store.arriving import begin_arrival
from p2phub.store.blobs import Blobs
from p2phub.store.disk import Disk, disk_errors
from p2phub.store.fingerprints import Fingerprints
from p2phub.store.folders import fingerprint, open_published
from p2phub.store.holdings import Holdings
from p2phub.store.interface import Arrival, Fingerprint, HashedFile, Holding, Judge, Scan
from p2phub.store.lists import list_of
from p2phub.store.scanning import Ignore, scan_folder
from p2phub.store.secret import load_or_make
from p2phub.store.state_log import StateLog, open_home


class FilesystemStore:
    """The `Store` of `home`. Thread-safe; raises DiskError where the home cannot be used."""

    def __init__(self, home: Path, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._home = home
        with contextlib.ExitStack() as undo:
            with disk_errors(f"use {home}", option="--home"):
                home_fd = open_home(self._disk, home)
                try:
                    self._blobs = Blobs(home_fd, self._disk)
                finally:
                    os.close(home_fd)
            undo.callback(self._blobs.close)
            self._log = StateLog(home, self._disk)
            undo.pop_all()
        self._holdings = Holdings(home, self._blobs, self._log)

    # --- metadata --------------------------------------------------------------------------------------------------

    def put_blobs(self, blobs: Sequence[bytes]) -> None:
        with disk_errors(f"write metadata in {self._home}"):
            self._blobs.put(blobs)

    def blob(self, digest: Digest) -> bytes | None:
        with disk_errors(f"read metadata in {self._home}"):
            return self._blobs.get(digest)

    # --- folders in place ------------------------------------------------------------------------------------------

    def scan(self, folder: Path, ignore: Ignore) -> Scan:
        with disk_errors(f"read {folder}"):
            return scan_folder(folder, ignore)

    def open_in_place(self, folder: Path, path: str) -> Readable:
        return open_published(folder, path)

    def fingerprint_of(self, file: Readable) -> Fingerprint:
        return fingerprint(os.fstat(file.descriptor))

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        return self._holdings.remembered(folder)

    def hold(self, manifest: Manifest, digest: Digest, folder: Path, files: Sequence[HashedFile]) -> None:
        assert len(files) == len(manifest.files)
        assert all(file.entry == entry for file, entry in zip(files, manifest.files, strict=True))
        self.put_blobs([blob for file in files if file.chunks is not None for blob in encode_lists(file.chunks)[1]])
        self._holdings.hold(manifest, digest, folder, lambda: ((file.fingerprint, file.trusted) for file in files))

    def release(self, manifest: Digest, folder: Path | None = None) -> None:
        self._holdings.release(manifest, folder)

    def holdings(self) -> tuple[Holding, ...]:
        return self._holdings.all()

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        return self._holdings.read_plan(manifest)

    def mark_changed(self, manifest: Digest, file: int) -> None:
        self._holdings.mark_changed(manifest, file)

    # --- fetches ---------------------------------------------------------------------------------------------------

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        judge: Judge | None = None,
    ) -> Arrival:
        remembered = self._holdings.remembered(destination)

        def known(path: str, found: Fingerprint) -> Digest | None:
            file = remembered.get(path)
            return file.entry.root if file is not None and file.fingerprint == found else None

        def record(found: Fingerprints) -> None:
            now_ns = time.time_ns()
            lists = (list_of(table, file) for file, entry in enumerate(manifest.files) if entry.chunks > 1)
            self.put_blobs([blob for chunks in lists for blob in encode_lists(chunks)[1]])
            self._holdings.hold(
                manifest, digest, destination, lambda: ((known, known.settled(now_ns)) for known in found)
            )

        return begin_arrival(
            self._disk,
            manifest,
            digest,
            table,
            destination,
            force=force,
            judge=judge,
            known=known,
            record=record,
            secret=self._secret(),
        )

    def _secret(self) -> bytes:
        with disk_errors(f"use {self._home}"):
            home_fd = open_home(self._disk, self._home)
            try:
                return load_or_make(self._disk, home_fd)
            finally:
                os.close(home_fd)

    # --- the home --------------------------------------------------------------------------------------------------

    def check(self) -> tuple[str, ...]:
        with disk_errors(f"check {self._home}"):
            return tuple(self._holdings.check())

    def close(self) -> None:
        self._holdings.close()
        self._log.close()
        self._blobs.close()

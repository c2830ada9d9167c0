"""The ports of the disk: metadata blobs, folders used in place, fetches being written.

All calls block and are thread-safe; the engine makes them in bounded worker threads. Adapters: `store.filesystem`,
`store.memory`. Errors: DiskError and its kinds, ContentChanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from p2phub.content import DIGEST_BYTES, ChunkList, ChunkTable, Digest, RangeSet, Readable, ReadPlan, WritePlan
from p2phub.manifest import FileEntry, Manifest
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import Away, HeldAt, Holding, LookedAgain, Origin, Provenance
from p2phub.store.keeping import Keeper
from p2phub.store.selected import Made, Selected

# --- folders as they stand on the disk ---------------------------------------------------------------------------


class FoundFile(msgspec.Struct, frozen=True):
    """A regular file of a scanned folder; `path` is relative with `/`, unchecked against the manifest's rules.

    `target`: where the file itself stands in the folder, if `path` is a link to it; it need not be UTF-8.
    """

    path: str
    fingerprint: Fingerprint
    target: str | None = None


class Scan(msgspec.Struct, frozen=True):
    """`files` in path order; `left_out`: (path, why) of what the rule ignored. Links to files within the folder were
    followed and are in `files`; those that leave it are `outside`."""

    files: tuple[FoundFile, ...]
    left_out: tuple[tuple[str, str], ...]
    outside: tuple[str, ...]


class HashedFile(msgspec.Struct, frozen=True):
    """What one read pass found, with the fingerprint that held before and after it.

    `chunks`: None for a file of up to one chunk, of which `entry` says all.
    """

    entry: FileEntry
    chunks: ChunkList | None
    fingerprint: Fingerprint
    trusted: bool  # False where the fingerprint was too young when taken: hash again next time.
    place: Path | None = None  # Where it stands, if that is not `entry.path` below the folder that holds it.


class PartHashed(msgspec.Struct, frozen=True):
    """How far a read pass has come with a file that it is not at the end of: the first chunks of it.

    `fingerprint` held before the pass and was not too young then. `cuts`: 32 bytes that tell one way to cut the file
    from another; `digests`: of the chunks, packed; they end at `offset`; `state`: of the SHA-256 there.
    """

    fingerprint: Fingerprint
    cuts: bytes
    offset: int
    digests: bytes
    state: bytes

    @property
    def chunks(self) -> int:
        return len(self.digests) // DIGEST_BYTES


class LocalFile(msgspec.Struct, frozen=True):
    """A file of this disk that has chunks that are wanted. `open` raises ContentChanged if it is not as it was hashed.

    `trusted`: its fingerprint alone tells that it is.
    """

    path: Path
    size: int
    trusted: bool
    open: Callable[[], Readable]


class LocalRun(msgspec.Struct, frozen=True):
    """`count` chunks that are wanted, from number `first` on, lie one behind the other in `file` from `offset` on."""

    first: int
    count: int
    file: LocalFile
    offset: int


# --- fetches -----------------------------------------------------------------------------------------------------


Judge = Callable[[int, Callable[[int, int], bytes]], str | None]
"""Says of a whole file, of its size and of what reads it (offset, length), why it must not be put in its place; None if
it may be. What the reading raises passes through. `formats.danger_of` is one."""


FETCHED_AGAIN = "run the same command again: it fetches anew what the disk cannot read; and check the disk"
"""What to do where unfinished files of a fetch cannot be read."""


class Arrival(Protocol):
    """One fetch being written below its destination. The coordinator's; `plan.open` is the carriers'."""

    @property
    def plan(self) -> WritePlan: ...

    @property
    def have(self) -> RangeSet:
        """Chunks verified and on this disk: of equal files that were there, of earlier attempts (hints re-hashed)."""

    def read_plan(self) -> ReadPlan:
        """Return how to serve what is verified by now. Good until `finish` or `close`; then ask the store."""

    def write(self, chunk: int, data: bytes) -> None:
        """Write one verified chunk (the first flight's)."""

    def verified(self, chunks: RangeSet) -> None:
        """Note chunks as written and verified. Cheap; they are hints until the next `sync`."""

    def sync(self) -> None:
        """Make all noted chunks durable, then journal them; move whole files to their place, without replacing.
        Raises DiskError; then nothing noted since the last mark counts. Raises Unsafe when all that is done, if the
        judge of this arrival refused a whole file: that stays unfinished, and counts as had."""

    def copy(self, run: LocalRun) -> RangeSet:
        """Write those chunks of `run` that are right where they lie, and return which: call `verified` with them.

        Raises DiskError for faults of where it is written; what is wrong with the file that is read only makes it of no
        use."""

    def clone(self, run: LocalRun) -> bool:
        """Have the file that `run` is all of share the blocks of the one it lies in, in constant time; True if that was
        done: then call `verified`. Only of a file that is trusted. Raises as `copy` does."""

    def doubt(self) -> None:
        """The disk failed at reading what is unfinished: the next attempt is to read all of it, and fetch anew what it
        cannot. Blocks while a `sync` runs."""

    def in_place(self, files: Sequence[int]) -> list[int]:
        """Return those of `files` (by number) that stand whole at their place."""

    def finish(self, made: Sequence[Made] = ()) -> Path:
        """Sync, place every file that was selected (empty ones too), write those that are `made` and place them
        likewise, record what is held, remove the journal. Returns the folder. What an earlier attempt at more than
        what was selected left stays for the next one. Raises as `sync` does; then nothing is made or recorded, and the
        next attempt goes on from here."""

    def close(self) -> None:
        """Let go of descriptors and the lock; keep what is there for the next attempt."""


# --- drafts ------------------------------------------------------------------------------------------------------


class DraftFolder(Protocol):
    """A folder of the home's own store for files that are on their way to be published. One user's at a time."""

    @property
    def folder(self) -> Path:
        """Where files may be made, each under a name of its own, and written once."""

    def need_room(self, count: int) -> None:
        """Raise DiskFull if `count` bytes more cannot be there."""

    def hold(self, manifest: Manifest, digest: Digest, files: Sequence[HashedFile]) -> tuple[HashedFile, ...]:
        """Record that this home published `manifest`, which has `files`, each at its `place`; durable on return.

        Those in a folder of drafts, this one or another, move into the own store, where nothing changes them any more;
        others stay where they are. Returns them as they stand then. Raises ContentChanged if one is not as it was
        hashed, DiskError; then nothing is recorded."""

    def close(self) -> None:
        """Remove what was not published."""


class Store(Keeper, Protocol):
    """Everything of one home that has bytes of content."""

    def get_ready(self) -> None:
        """Open the index, made if there is none, for whoever will need it soon. Raises DiskError, Damaged."""

    def put_blobs(self, blobs: Sequence[bytes]) -> None:
        """Keep metadata blobs (manifest pages, chunk lists, layouts) under their digests, durably."""

    def blob(self, digest: Digest) -> bytes | None:
        """Return a metadata blob, its digest checked as it is read; None if it is not held."""

    def scan(self, folder: Path, ignore: Callable[[str, bool], str | None]) -> Scan:
        """Walk `folder` by directory descriptors. `ignore(path, is_folder)` returns why to leave it out, or None."""

    def open_in_place(self, folder: Path, path: str) -> Readable:
        """Open a regular file below `folder`, no link followed out of it. Raises ContentChanged if it is not there."""

    def open_place(self, place: Path) -> Readable:
        """Open a regular file by its absolute path; it is no link itself. Raises ContentChanged, DiskError."""

    def fingerprint_of(self, file: Readable) -> Fingerprint: ...

    def shows_writes(self, file: Readable) -> bool:
        """Return whether whatever is written to a file from now on will show in its fingerprint. To be asked before it
        is read, by whoever will believe later that it is what was read. May wait for its disk."""

    def remembered(self, folder: Path) -> dict[str, HashedFile]:
        """Return what earlier publishes of `folder` found, by path, where the fingerprint was trusted."""

    def hold(
        self,
        manifest: Manifest,
        digest: Digest,
        folder: Path,
        files: Sequence[HashedFile],
        *,
        origin: Origin = Origin.PUBLISHED,
        source: Provenance | None = None,
    ) -> None:
        """Record that `folder` holds `manifest` whole, in place. `files` are in the manifest's order.

        An adopted file alone (`manifest.is_alone`) has its own path for a folder. What earlier versions that were
        published from, or fetched to, `folder` share with this one, by path or else by content, is held on; what was
        replaced is not, from now on. So it is where an arrival ends."""

    def open_draft(self) -> DraftFolder:
        """Begin a draft. What killed processes left of theirs goes."""

    def whole(self, manifest: Digest) -> tuple[Manifest, list[HashedFile]] | None:
        """Return a manifest that is held whole, with its files, each at its `place`, and without their chunks, which
        the store has; None if no folder holds all of it. What an attached place lists does not count."""

    def release(self, manifest: Digest, folder: Path | None = None) -> None:
        """Forget that `folder` holds `manifest`, or that any folder does; touches no file there."""

    def holdings(self, manifest: Digest | None = None) -> tuple[Holding, ...]:
        """Return what is held, of one manifest or of all, the newest first. Where it is the metadata of a manifest that
        the disk does not let us read, it has a `problem` among all; of that one alone, DiskError is raised."""

    def held_at(self, manifest: Digest | None = None) -> tuple[HeldAt, ...]:
        """Return the same without a look at what each is and how its files stand, which costs next to nothing."""

    def recorded(self, manifest: Digest, folder: Path) -> RangeSet:
        """Return which files of a manifest, by number, were recorded as standing in `folder`, in doubt by now or not.
        Of a selection those that were left out are not among them, of an earlier version not those that were
        replaced."""

    def read_only(self, manifest: Digest, folder: Path) -> RangeSet:
        """Return which files of a manifest stand in `folder` as files of something that is published or adopted, from
        there or a folder above or below, and so are only read, however the manifest itself is held."""

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        """Return how to serve a held manifest, None if it is not held."""

    def open_held(self, manifest: Digest, folder: Path, file: int) -> Readable:
        """Open a file of a holding as it stands now, whatever it was. Raises ContentChanged if it is not there."""

    def parts(self, manifest: Digest) -> tuple[Digest, ...]:
        """Return the files alone of ALONE_BYTES_MIN and more that a held manifest has; `read_plan` knows them, too."""

    def manifests_with(self, part: Digest) -> tuple[Digest, ...]:
        """Return the held manifests that have this file alone as a part, and itself, if it is held so beside them; none
        if no manifest has it."""

    def local(self, table: ChunkTable, wanted: RangeSet) -> list[LocalRun]:
        """Return where on this disk those chunks lie that are held here already, of any manifest: ascending by number,
        each once. What is told may have changed since: who reads it compares digests."""

    def note_hashed(self, files: Mapping[Path, HashedFile]) -> None:
        """Remember, durably, what files were when they were hashed, though no holding has them yet. `place` is not
        looked at: the key is the file's absolute path."""

    def hashed_at(self, places: Iterable[Path]) -> dict[Path, HashedFile]:
        """Return what `note_hashed` was told of these files, where the fingerprint was trusted."""

    def note_parts(self, parts: Mapping[Path, PartHashed]) -> None:
        """Remember, durably, how far files were hashed, by their absolute path, until `note_hashed` is told what they
        are as a whole, or a folder holds them. What was noted of the same pass before is not written again."""

    def part_hashed(self, place: Path) -> PartHashed | None:
        """Return how far a file was hashed, as it was noted last; less, or None, if that is damaged."""

    def look_again(self, manifest: Digest, file: int) -> LookedAgain:
        """Read a file in doubt again, wherever it is held: it is held again if it is what it should be."""

    def in_doubt(self, manifest: Digest, folder: Path) -> RangeSet:
        """Return which files of a holding are in doubt that were held there."""

    def away(self) -> tuple[Away, ...]:
        """Return the holdings of which something is not there. Each file in doubt is looked for until one is found."""

    def mark_changed(self, manifest: Digest, file: int) -> None:
        """Note that a file is not what was hashed: its chunks are not held until it is hashed again."""

    def mark_damaged(self, manifest: Digest, folder: Path, file: int) -> None:
        """Note that a file of this folder was read and is wrong, whatever its fingerprint says: it is not held there
        until it is hashed again."""

    def mark_right(self, manifest: Digest, folder: Path, file: int, found: Fingerprint, *, trusted: bool) -> bool:
        """Note that a file of this folder was read, as it is `found`, and is what was hashed: if it was in doubt, or is
        otherwise than before, it is held there again. `trusted`: `found` alone will tell that it did not change.
        Returns whether it was."""

    def arrive(
        self,
        manifest: Manifest,
        digest: Digest,
        table: ChunkTable,
        destination: Path,
        *,
        force: bool,
        selected: Selected | None = None,
        judge: Judge | None = None,
        link: bool = False,
    ) -> Arrival:
        """Begin or resume writing a manifest to `destination`; waits for nobody: a second writer of the same place gets
        Occupied. Equal files there are recognised and kept; others raise Occupied unless `force` (then replaced at the
        end by rename). Raises DiskFull if the space cannot be there. `selected`: what of it; None: all. Files that are
        not selected need no room, and nothing is in their way. What `judge` refuses is not put in its place; it is
        asked of each file that is written here and goes to its place, not of those that stand there already. Where the
        manifest is published or adopted from that very folder, it stays so. `link`: files that are held whole, and are
        the user's or ours, may come to stand there as a further name of the same file; which do is the store's, and
        they are judged, too."""

    def check(self) -> tuple[str, ...]:
        """Look over the index; rebuild it if it is damaged. Returns what was mended, in words."""

    def close(self) -> None: ...

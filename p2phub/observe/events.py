"""What happened, as frozen events: the one language that the engine, the node, the library and `--json` share.

An event is told once, by whoever caused it, to whoever watches that job. Field names are those of the stable JSON
contract (docs/guides/json.md); times are seconds, sizes bytes. Verified bytes never run backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Base. `NAME` is the value of "event" in JSON."""

    NAME: ClassVar[str] = "event"

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able dict with "event" first."""
        return {"event": self.NAME, **msgspec.to_builtins(self)}


class Ready(Event, frozen=True):
    """The daemon can be dialled. `gateway` and `metrics`: the URLs that tools and whoever watches over it are answered
    at, None where nothing stands at such a port."""

    NAME: ClassVar[str] = "ready"
    peer_id: str
    publisher_id: str
    addresses: list[str]  # multiaddrs with /p2p/…
    gateway: str | None = None
    metrics: str | None = None


class Stopped(Event, frozen=True):
    """The daemon has ended; nothing of it runs any more."""

    NAME: ClassVar[str] = "stopped"


class PublishProgress(Event, frozen=True):
    """How far hashing is."""

    NAME: ClassVar[str] = "progress"
    bytes_hashed: int
    bytes_total: int
    files: int


class Published(Event, frozen=True):
    """A folder is hashed, signed and recorded. `reference`, `manifest` and `ticket` as users type them."""

    NAME: ClassVar[str] = "published"
    reference: str
    manifest: str
    ticket: str
    files: int
    bytes: int
    bytes_hashed: int  # less than `bytes` where a re-publish trusted an unchanged fingerprint
    announced: bool
    seconds: float
    remarks: list[dict[str, str]] = msgspec.field(default_factory=list)
    """`path` and `what` to know of files that were hashed now: not what they are called, or run code when loaded."""
    other_names: list[dict[str, object]] | None = None
    """`reference` and `private` of each other name under which this home publishes the same content. What is public by
    one name is public: content is one thing, names are many. None from a daemon of an older version."""
    ticket_addresses: list[str] | None = None
    """Multiaddrs in the ticket; with none, who has it finds providers by a lookup, or is told one. None likewise."""


class Found(Event, frozen=True):
    """`adopt` has looked through the caches and read no file yet. `claimed`: files whose names say what they hold.
    `problems`: `path` and `why` of what could not be read or understood."""

    NAME: ClassVar[str] = "found"
    models: int
    files: int
    bytes: int
    claimed: int
    problems: list[dict[str, str]]


class Adopted(Event, frozen=True):
    """A model of a cache is held where it stands: whole, as `manifest`, else files `alone` (`manifest`, `path`) of it.
    `announced`: whether all of that may be told of and served. `announced_before`: whether it may not, though something
    else of that name, found before, may be. `problems`: `path` and `why` of what is not held."""

    NAME: ClassVar[str] = "adopted"
    cache: str
    name: str
    revision: str | None
    folder: str
    manifest: str | None
    alone: list[dict[str, str]]
    files: int
    bytes: int
    complete: bool
    announced: bool
    problems: list[dict[str, str]]
    announced_before: bool = False


class Listening(Event, frozen=True):
    """Others can have from this node what a fetch verifies: at `addresses`, none if no port could be opened."""

    NAME: ClassVar[str] = "listening"
    addresses: list[str]  # multiaddrs with /p2p/…


class Started(Event, frozen=True):
    """A fetch knows its manifest."""

    NAME: ClassVar[str] = "started"
    reference: str
    manifest: str
    bytes_total: int
    bytes_held: int  # verified on this disk before anything was asked for


class Source(Event, frozen=True):
    """A provider joined the fetch. `via`: direct, lan or mirror. A mirror has no peer id: `peer_id` is its URL; it
    joins with the first that it gives, for only then is it known to have something."""

    NAME: ClassVar[str] = "source"
    peer_id: str
    address: str
    via: str


class SourceLacks(Event, frozen=True):
    """A mirror does not have `file` as it was published; told of the first such file of each mirror."""

    NAME: ClassVar[str] = "source_lacks"
    peer_id: str  # Its URL.
    file: str
    reason: str


class Progress(Event, frozen=True):
    """How far a fetch is: verified bytes, those held before included, and the rate of late in bytes a second."""

    NAME: ClassVar[str] = "progress"
    bytes_verified: int
    bytes_per_s: float


class FilesReady(Event, frozen=True):
    """Files of a fetch came to stand whole, verified and durable at their place, while the rest is fetched.

    Told of fetches that were given an order, and there of the files that it names."""

    NAME: ClassVar[str] = "files_ready"
    paths: list[str]


class FilesLeft(Event, frozen=True):
    """Files that an earlier version of what was fetched put into the folder, and this one does not have. They stay."""

    NAME: ClassVar[str] = "files_left"
    paths: list[str]


class Unmatched(Event, frozen=True):
    """A pattern of files that are wanted first, or of files or tensors that are selected, matches nothing."""

    NAME: ClassVar[str] = "unmatched"
    pattern: str


class Remark(Event, frozen=True):
    """Something to know of a file that was fetched, and that changed what was made of it: what `path` says and is not
    so, or that it could not be read."""

    NAME: ClassVar[str] = "remark"
    path: str
    what: str


class TensorsReady(Event, frozen=True):
    """Tensors, in the order in which they were asked for, whose bytes can be read: verified, or of a file that is held
    and was not changed since it was hashed."""

    NAME: ClassVar[str] = "tensors_ready"
    tensors: list[list[Any]]
    """Of each its name, dtype, shape, the path of the file that it is read from, and where it begins and ends there."""
    folder: str | None
    """What is to be removed once all was read: None where they are read from files that stand for good."""


class ModelOpened(Event, frozen=True):
    """A manifest can be read: which, how it was found, and what it has."""

    NAME: ClassVar[str] = "model_opened"
    number: int
    """What it is closed by."""
    reference: str
    manifest: str
    release: dict[str, Any] | None
    """As `log` has one; None where no publisher's word led here."""
    files: list[list[Any]]
    """Of each its path, size and SHA-256 (hex)."""


class DraftOpened(Event, frozen=True):
    """A draft can be written: files of it go into `folder`, which is absolute."""

    NAME: ClassVar[str] = "draft_opened"
    number: int
    """What it is called from here on."""
    folder: str
    base: str | None
    """The manifest that it begins with."""


class RangeReady(Event, frozen=True):
    """Bytes `start` ..< `stop` of a file that somebody reads stand, verified, at the same offsets of the file `place`.

    `exactly`: what its status must say before and after it is read (device, inode, size, mtime_ns, ctime_ns), so that
    they still are what was hashed; of a file that is being written by us, device and inode alone; None of one that
    comes from an upstream hub."""

    NAME: ClassVar[str] = "range_ready"
    place: str
    start: int
    stop: int
    exactly: list[int] | None


class PeerDropped(Event, frozen=True):
    """A provider left the fetch. `file` and `chunk` are set where a wrong byte is the reason."""

    NAME: ClassVar[str] = "peer_dropped"
    peer_id: str
    reason: str
    file: str | None = None
    chunk: int | None = None


class Waiting(Event, frozen=True):
    """Nothing came from anyone for a while: why, and what is tried next."""

    NAME: ClassVar[str] = "waiting"
    reason: str
    next: str


class SourceBytes(msgspec.Struct, frozen=True):
    """How many payload bytes of a fetch came from one peer."""

    peer_id: str
    bytes: int


class Done(Event, frozen=True):
    """A fetch is whole, verified, durable and at its destination."""

    NAME: ClassVar[str] = "done"
    path: str
    bytes_received: int
    bytes_reused: int
    seconds: float
    first_byte_s: float | None
    sources: list[SourceBytes] = msgspec.field(default_factory=list)


class Failed(Event, frozen=True):
    """A command did not do what it was asked to. `code` is its exit code; `hint` says what to try."""

    NAME: ClassVar[str] = "failed"
    code: int
    message: str
    hint: str | None = None


Watch = Callable[[Event], None]
"""Told of each event, in order, on the loop's thread. Must be quick; must not raise."""

"""Every error p2phub raises, on one screen: whose fault it was, and so what to do.

The tree has three kinds of fault. *The user's or the machine's* (usage, disk): tell, with a hint. *The content's*
(trust, damage): refuse it. *A peer's* (`PeerError`): drop that peer and go on with the others. Anything else that
escapes is a bug of ours and crashes. `code` is the exit code of the command line (docs: "Exit codes").
"""

from __future__ import annotations

from typing import ClassVar


class HubError(Exception):
    """Base of all. `message` says what happened and why; `hint` says what to try."""

    code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HubError):
    """The command or call does not make sense: a bad reference, address, option or name."""

    code = 2


class AlreadyRunning(UsageError):
    """Another daemon holds this home."""


class NotFound(HubError):
    """Nobody we asked knows the name or holds the manifest."""

    code = 3


class NotTrusted(HubError):
    """A signature, key, key file or release does not hold: forged, expired, rolled back, not allowed.

    `rule` is the rule's name in `proto/` where one was broken.
    """

    code = 4

    def __init__(self, message: str, *, rule: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class Unsafe(NotTrusted):
    """Files may run code when they are loaded, and nobody allowed that. What was verified is kept."""


class Damaged(HubError):
    """Bytes are not what their digest or the specification says, and nobody could give better ones."""

    code = 5


class Malformed(Damaged):
    """Foreign bytes break a rule of `proto/`. `rule` is the rule's name there, as the test vectors give it.

    `what` is the message without it.
    """

    def __init__(self, rule: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{message} [{rule}]", hint=hint)
        self.rule = rule
        self.what = message

    def within(self, where: str, *, hint: str) -> Malformed:
        """Return the same fault, told to somebody who knows `where` but not the rule."""
        return Malformed(self.rule, f"{where}: {self.what}", hint=hint)


class DiskError(HubError):
    """The local file system refused: full, read-only, vanished, failing."""

    code = 6


class DiskFull(DiskError):
    """No space left. What was verified is kept; the same command resumes when there is room."""


class Occupied(DiskError):
    """The destination holds other files, which are never overwritten unless told to."""


class ContentChanged(DiskError):
    """A published file is no longer what was hashed: changed, truncated or deleted."""


class NoProvider(HubError):
    """Providers are known, but none that can be reached has what is missing."""

    code = 7


class NodeGone(HubError):
    """The node of this home, which did the work, stopped, or does not answer. What it had verified is kept."""

    code = 7


class PeerError(HubError):
    """A peer broke the protocol or its promise. Drop that peer; go on with the others.

    `peer` is the peer's text form, or None before it has proved who it is.
    """

    code = 7

    def __init__(self, message: str, *, peer: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.peer = peer


class PeerGone(PeerError):
    """The connection ended, could not be made, or was lost."""


class PeerStalled(PeerError):
    """No progress within the time that its rate allows."""


class PeerRefused(PeerError):
    """The peer said no. `reason` is one of `wire.messages.REASONS`; no fault of the peer."""

    def __init__(self, message: str, *, reason: str, peer: str | None = None) -> None:
        super().__init__(message, peer=peer)
        self.reason = reason


class WrongPeer(PeerError):
    """Whoever answered is not the peer we meant, or did not prove who it is."""


class MirrorUnusable(PeerError):
    """A web server that cannot be a mirror: without byte ranges, at a place where no mirror may be, and the like."""


class ProtocolViolation(PeerError):
    """The peer sent what the protocol does not allow: garbage, too much, too little, out of order."""


class ChunkMismatch(PeerError):
    """The peer sent bytes that do not have the digest of what was asked for: a lie, with evidence.

    `file` (path in the manifest, or the kind of blob: "manifest", "page", "chunk list") and `chunk` (index within
    the file, 0 for a blob).
    """

    code = 5

    def __init__(self, message: str, *, file: str, chunk: int, peer: str | None = None) -> None:
        super().__init__(message, peer=peer)
        self.file = file
        self.chunk = chunk

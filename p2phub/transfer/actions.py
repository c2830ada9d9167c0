"""What a session tells its owner to do to a link."""

from __future__ import annotations

import msgspec

from p2phub.content import RangeSet
from p2phub.errors import PeerError

LinkId = int


class Grant(msgspec.Struct, frozen=True):
    """Add `chunks` to the lease of `link`."""

    link: LinkId
    chunks: RangeSet


class Revoke(msgspec.Struct, frozen=True):
    """Have `link` give back what it has not asked for; `returned` is told what that was, also if it was nothing."""

    link: LinkId


class Cancel(msgspec.Struct, frozen=True):
    """Have `link` write nothing of `chunks` any more, which another link has written; `cancelled` is told of those that
    it will not write, `verified` of those that it had written already."""

    link: LinkId
    chunks: RangeSet


class Drop(msgspec.Struct, frozen=True):
    """Close `link` because of `error`; `closed` is told when that is done."""

    link: LinkId
    error: PeerError


Action = Grant | Revoke | Cancel | Drop

"""The values of the network's ports as letters between parent and child, and back.

Errors keep their class, so that what is a peer's fault in the child is a peer's fault in the parent. The two ends are
one program: a letter that does not fit is a bug and raises whatever it raises.
"""

from __future__ import annotations

from typing import Any

from p2phub import errors
from p2phub.content import ChunkTable, Digest, RangeSet, Renumbering
from p2phub.errors import ChunkMismatch, HubError, Malformed, PeerError, PeerRefused
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net.bulk.post import Letter
from p2phub.net.interface import Blobs, Cancelled, Closed, Opened, Refused, Report, Returned, Spent, Verified


def ranges_out(ranges: RangeSet) -> list[int]:
    return [edge for run in ranges.runs for edge in run]


def ranges_in(flat: list[int]) -> RangeSet:
    return RangeSet(tuple(zip(flat[::2], flat[1::2], strict=True)))


def peer_address_out(where: PeerAddress) -> list[Any]:
    return [where.peer.public_key, where.address.ip, where.address.port]


def peer_address_in(fields: list[Any]) -> PeerAddress:
    key, ip, port = fields
    return PeerAddress(PeerId(key), Address(ip, port))


def table_out(table: ChunkTable) -> list[bytes]:
    return list(table.parts())


def table_in(fields: list[bytes]) -> ChunkTable:
    return ChunkTable.from_parts(*fields)


def numbers_out(numbers: Renumbering | None) -> list[list[int]] | None:
    return None if numbers is None else [list(run) for run in numbers.runs]


def numbers_in(runs: list[list[int]] | None) -> Renumbering | None:
    return None if runs is None else Renumbering.of((ours, theirs, count) for ours, theirs, count in runs)


# --- errors ------------------------------------------------------------------------------------------------------


def error_out(error: HubError) -> Letter:
    # A class that only its room knows travels as what it is to everybody else.
    kind = next(each for each in type(error).__mro__ if getattr(errors, each.__name__, None) is each)
    fields: Letter = {"class": kind.__name__, "message": error.message, "hint": error.hint}
    if isinstance(error, PeerError):
        fields["peer"] = error.peer
    match error:
        case ChunkMismatch():
            fields |= {"file": error.file, "chunk": error.chunk}
        case PeerRefused():
            fields["reason"] = error.reason
        case Malformed():
            fields |= {"rule": error.rule, "message": error.what}
    return fields


def error_in(fields: Letter) -> HubError:
    kind, message, hint = getattr(errors, fields["class"]), fields["message"], fields["hint"]
    if kind is ChunkMismatch:
        return ChunkMismatch(message, file=fields["file"], chunk=fields["chunk"], peer=fields["peer"])
    if kind is PeerRefused:
        return PeerRefused(message, reason=fields["reason"], peer=fields["peer"])
    if kind is Malformed:
        return Malformed(fields["rule"], message, hint=hint)
    if issubclass(kind, PeerError):
        error: HubError = kind(message, peer=fields["peer"], hint=hint)
        return error
    assert issubclass(kind, HubError)
    fault: HubError = kind(message, hint=hint)
    return fault


# --- reports of a link -------------------------------------------------------------------------------------------


def report_out(report: Report) -> Letter:
    match report:
        case Opened():
            return {
                "kind": "opened",
                "blobs": list(report.blobs),
                "prefix": [list(chunk) for chunk in report.prefix],
                "held": ranges_out(report.held),
            }
        case Blobs():
            return {"kind": "blobs", "blobs": list(report.blobs)}
        case Verified():
            return {
                "kind": "verified",
                "chunks": ranges_out(report.chunks),
                "bytes": report.bytes,
                "spent": list(report.spent),
            }
        case Refused():
            return {"kind": "refused", "chunks": ranges_out(report.chunks), "reason": report.reason}
        case Returned():
            return {"kind": "returned", "chunks": ranges_out(report.chunks)}
        case Cancelled():
            chunks, unasked = ranges_out(report.chunks), ranges_out(report.unasked)
            return {"kind": "cancelled", "chunks": chunks, "unasked": unasked}
        case Closed():
            error = None if report.error is None else error_out(report.error)
            return {"kind": "closed", "error": error, "chunks": ranges_out(report.returned)}


def report_in(fields: Letter) -> Report:
    match fields["kind"]:
        case "opened":
            prefix = tuple((number, data) for number, data in fields["prefix"])
            return Opened(tuple(fields["blobs"]), prefix, ranges_in(fields["held"]))
        case "blobs":
            return Blobs(tuple(fields["blobs"]))
        case "verified":
            return Verified(ranges_in(fields["chunks"]), fields["bytes"], Spent(*fields["spent"]))
        case "refused":
            return Refused(ranges_in(fields["chunks"]), fields["reason"])
        case "returned":
            return Returned(ranges_in(fields["chunks"]))
        case "cancelled":
            return Cancelled(ranges_in(fields["chunks"]), ranges_in(fields["unasked"]))
        case kind:
            assert kind == "closed"
            error = None if fields["error"] is None else error_in(fields["error"])
            return Closed(error, ranges_in(fields["chunks"]))


def digests_out(digests: list[tuple[Digest, int]]) -> list[Any]:
    return [[digest.raw, most] for digest, most in digests]


def digests_in(fields: list[Any]) -> list[tuple[Digest, int]]:
    return [(Digest(raw), most) for raw, most in fields]

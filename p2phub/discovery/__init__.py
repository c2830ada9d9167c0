"""Where things are: DHT messages, records, lookups, and the order in which finds are tried. Pure.

The door is lazy (PEP 562): a fetch that was told its providers needs `Candidate`, and not the DHT's rooms.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2phub.discovery.announce import AnnounceSchedule
    from p2phub.discovery.budget import DialBudget, dialable
    from p2phub.discovery.candidate import Asked, Candidate, Contact
    from p2phub.discovery.keyspace import network_of, peer_position, position, provider_key
    from p2phub.discovery.lookup import Lookup
    from p2phub.discovery.members import Members
    from p2phub.discovery.messages import (
        Kind,
        Question,
        Reply,
        decode_question,
        decode_reply,
        encode_question,
        encode_reply,
        frame,
    )
    from p2phub.discovery.nearness import LABELS, Nearness, Network, Surroundings
    from p2phub.discovery.neighbourhood import Neighbourhood
    from p2phub.discovery.newcomers import Newcomers
    from p2phub.discovery.protobuf import read_varint
    from p2phub.discovery.providers import HeardProviders, ProviderRecords
    from p2phub.discovery.queue import CandidateQueue
    from p2phub.discovery.releases import Judged, ReleaseRecords, best_first, judge_record
    from p2phub.discovery.routing import RoutingTable
    from p2phub.discovery.server import Allowance, Server

__all__ = [
    "LABELS",
    "Allowance",
    "AnnounceSchedule",
    "Asked",
    "Candidate",
    "CandidateQueue",
    "Contact",
    "DialBudget",
    "HeardProviders",
    "Judged",
    "Kind",
    "Lookup",
    "Members",
    "Nearness",
    "Neighbourhood",
    "Network",
    "Newcomers",
    "ProviderRecords",
    "Question",
    "ReleaseRecords",
    "Reply",
    "RoutingTable",
    "Server",
    "Surroundings",
    "best_first",
    "decode_question",
    "decode_reply",
    "dialable",
    "encode_question",
    "encode_reply",
    "frame",
    "judge_record",
    "network_of",
    "peer_position",
    "position",
    "provider_key",
    "read_varint",
]

_ROOMS = {
    "announce": ("AnnounceSchedule",),
    "budget": (
        "DialBudget",
        "dialable",
    ),
    "candidate": (
        "Asked",
        "Candidate",
        "Contact",
    ),
    "keyspace": (
        "network_of",
        "peer_position",
        "position",
        "provider_key",
    ),
    "lookup": ("Lookup",),
    "members": ("Members",),
    "messages": (
        "Kind",
        "Question",
        "Reply",
        "decode_question",
        "decode_reply",
        "encode_question",
        "encode_reply",
        "frame",
    ),
    "nearness": (
        "LABELS",
        "Nearness",
        "Network",
        "Surroundings",
    ),
    "neighbourhood": ("Neighbourhood",),
    "newcomers": ("Newcomers",),
    "protobuf": ("read_varint",),
    "providers": (
        "HeardProviders",
        "ProviderRecords",
    ),
    "queue": ("CandidateQueue",),
    "releases": (
        "Judged",
        "ReleaseRecords",
        "best_first",
        "judge_record",
    ),
    "routing": ("RoutingTable",),
    "server": (
        "Allowance",
        "Server",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)

"""Where things are: DHT messages, records, lookups, and the order in which finds are tried. Pure."""

from p2phub.discovery.announce import AnnounceSchedule
from p2phub.discovery.budget import DialBudget, dialable
from p2phub.discovery.candidate import Asked, Candidate, Contact
from p2phub.discovery.keyspace import network_of, peer_position, position, provider_key
from p2phub.discovery.lookup import Lookup
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
from p2phub.discovery.protobuf import read_varint
from p2phub.discovery.providers import HeardProviders, ProviderRecords
from p2phub.discovery.queue import CandidateQueue
from p2phub.discovery.releases import Judged, ReleaseRecords, best_first, judge_record
from p2phub.discovery.routing import RoutingTable
from p2phub.discovery.server import Allowance, Server

__all__ = [
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
    "ProviderRecords",
    "Question",
    "ReleaseRecords",
    "Reply",
    "RoutingTable",
    "Server",
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

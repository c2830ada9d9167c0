"""What travels on a connection: messages, framing, codec, and the sans-I/O machines of both sides. Pure."""

from p2phub.wire.codec import decode_control_answer, decode_first, encode
from p2phub.wire.control import ControlClient, ControlServer
from p2phub.wire.flight import BlobChain, flight_order
from p2phub.wire.framing import LENGTH_BYTES, FrameDecoder, header_length
from p2phub.wire.messages import (
    REASONS,
    Ask,
    BlobsFollow,
    Chunks,
    ControlAnswer,
    ControlRequest,
    GetNews,
    GetRelease,
    News,
    Open,
    Opening,
    Ping,
    Pong,
    Probe,
    Probed,
    Refuse,
    ReleaseIs,
    Want,
)
from p2phub.wire.provider import BulkProvider
from p2phub.wire.requester import (
    BlobArrived,
    BulkRequester,
    ChunksArrived,
    ChunksRefused,
    FlightArrived,
    RequesterEvent,
)

__all__ = [
    "LENGTH_BYTES",
    "REASONS",
    "Ask",
    "BlobArrived",
    "BlobChain",
    "BlobsFollow",
    "BulkProvider",
    "BulkRequester",
    "Chunks",
    "ChunksArrived",
    "ChunksRefused",
    "ControlAnswer",
    "ControlClient",
    "ControlRequest",
    "ControlServer",
    "FlightArrived",
    "FrameDecoder",
    "GetNews",
    "GetRelease",
    "News",
    "Open",
    "Opening",
    "Ping",
    "Pong",
    "Probe",
    "Probed",
    "Refuse",
    "ReleaseIs",
    "RequesterEvent",
    "Want",
    "decode_control_answer",
    "decode_first",
    "encode",
    "flight_order",
    "header_length",
]

"""What travels on a connection: messages, framing, codec, and the sans-I/O machines of both sides. Pure."""

from p2phub.wire.control import ControlClient, ControlServer
from p2phub.wire.flight import BlobChain, flight_order
from p2phub.wire.framing import FrameDecoder
from p2phub.wire.messages import (
    REASONS,
    Ask,
    BlobsFollow,
    Chunks,
    ControlAnswer,
    ControlRequest,
    GetHave,
    GetRelease,
    Have,
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
from p2phub.wire.requester import BulkRequester

__all__ = [
    "REASONS",
    "Ask",
    "BlobChain",
    "BlobsFollow",
    "BulkProvider",
    "BulkRequester",
    "Chunks",
    "ControlAnswer",
    "ControlClient",
    "ControlRequest",
    "ControlServer",
    "FrameDecoder",
    "GetHave",
    "GetRelease",
    "Have",
    "Open",
    "Opening",
    "Ping",
    "Pong",
    "Probe",
    "Probed",
    "Refuse",
    "ReleaseIs",
    "Want",
    "flight_order",
]

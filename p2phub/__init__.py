"""p2phub moves AI models and datasets between machines without a central host.

    import p2phub
    done = p2phub.fetch("12D3Koo…/minilm", into="./minilm", bootstrap=["/ip4/192.0.2.7/tcp/4717/p2p/12D3Koo…"])

    async with p2phub.open_hub() as hub:      # in a trio program; `watch` is told of each event as it happens
        published = await hub.publish("./minilm", name="minilm", watch=print)

`publish`, `fetch`, `info`, `ls`, `search`, `verify`, `pin`, `unpin`, `gc`, `du` and `safe_open` here block until they
are done; the hub's are async. Errors are `HubError` and its kinds.

The door is lazy (PEP 562): naming a thing here loads the room it lives in and nothing else, so that
`import p2phub.content` stays small and a fetch by ticket never loads libp2p.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""As in `typing`, which would take half of the time until the program hears Ctrl-C (`cli.entry`)."""

if TYPE_CHECKING:
    from p2phub.api import (
        KINDS,
        AlreadyRunning,
        ChunkMismatch,
        ContentChanged,
        Damaged,
        DiskError,
        DiskFull,
        Done,
        Event,
        Failed,
        Hub,
        HubError,
        Listening,
        Malformed,
        NodeGone,
        NoProvider,
        NotFound,
        NotTrusted,
        Occupied,
        PeerAddress,
        PeerDropped,
        PeerError,
        PeerId,
        Progress,
        Published,
        PublishProgress,
        Ready,
        Reference,
        Remark,
        Source,
        SourceBytes,
        SourceLacks,
        Started,
        Stopped,
        Ticket,
        Unsafe,
        UsageError,
        Waiting,
        Watch,
        open_hub,
        parse_peer_address,
        parse_peer_id,
        parse_reference,
        run_node,
    )
    from p2phub.api.blocking import du, fetch, gc, info, ls, pin, publish, safe_open, search, unpin, verify

__all__ = [
    "KINDS",
    "AlreadyRunning",
    "ChunkMismatch",
    "ContentChanged",
    "Damaged",
    "DiskError",
    "DiskFull",
    "Done",
    "Event",
    "Failed",
    "Hub",
    "HubError",
    "Listening",
    "Malformed",
    "NoProvider",
    "NodeGone",
    "NotFound",
    "NotTrusted",
    "Occupied",
    "PeerAddress",
    "PeerDropped",
    "PeerError",
    "PeerId",
    "Progress",
    "PublishProgress",
    "Published",
    "Ready",
    "Reference",
    "Remark",
    "Source",
    "SourceBytes",
    "SourceLacks",
    "Started",
    "Stopped",
    "Ticket",
    "Unsafe",
    "UsageError",
    "Waiting",
    "Watch",
    "du",
    "fetch",
    "gc",
    "info",
    "ls",
    "open_hub",
    "parse_peer_address",
    "parse_peer_id",
    "parse_reference",
    "pin",
    "publish",
    "run_node",
    "safe_open",
    "search",
    "unpin",
    "verify",
]

_BLOCKING = frozenset({"du", "fetch", "gc", "info", "ls", "pin", "publish", "safe_open", "search", "unpin", "verify"})


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room = "p2phub.api.blocking" if name in _BLOCKING else "p2phub.api"
    found: object = getattr(import_module(room), name)
    globals()[name] = found  # Asked once.
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})

"""The library: the hub, its verbs, and the events, values and errors that its users need.

    async with api.open_hub() as hub:
        done = await hub.fetch("12D3Koo…/minilm", into="minilm", watch=print)

The door is lazy (PEP 562): naming a thing loads the room it lives in and nothing else, so that a program that only
shows its usage, or only catches an error, stays as light as it was.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2phub.api.daemon import daemon_settings, examine_closed, run_node, salvage
    from p2phub.api.drafting import Draft
    from p2phub.api.examining import examine
    from p2phub.api.fetching import default_folder
    from p2phub.api.hub import Hub, has_home, open_hub
    from p2phub.api.looking import commit_of_version, version_at
    from p2phub.api.passing_on import PassingOn
    from p2phub.api.reading import OpenModel
    from p2phub.content import parse_digest
    from p2phub.errors import (
        AlreadyRunning,
        ChunkMismatch,
        ContentChanged,
        Damaged,
        DiskError,
        DiskFull,
        HubError,
        Malformed,
        NodeGone,
        NoProvider,
        NotFound,
        NotTrusted,
        Occupied,
        PeerError,
        Unsafe,
        UsageError,
    )
    from p2phub.formats import GgufFacts, gguf_facts, looks_like_gguf
    from p2phub.identity import Address, PeerAddress, PeerId, parse_peer_address, parse_peer_id
    from p2phub.manifest import (
        DEFAULT_TAG,
        KINDS,
        OLLAMA_MEDIA_TYPE,
        OllamaImage,
        OllamaKind,
        OllamaPart,
        Reference,
        Ticket,
        check_mirror,
        check_name,
        commit_of,
        gguf_weights,
        git_blob_sha1,
        given_with_gguf,
        is_alias,
        is_commit,
        is_gguf_shard,
        is_quantisation,
        is_sha256,
        lfs_pointer,
        ollama_image,
        parse_reference,
        quantisation_of,
    )
    from p2phub.node import Config, parse_duration, parse_listen
    from p2phub.observe import (
        Adopted,
        Done,
        Event,
        Failed,
        FilesLeft,
        FilesReady,
        Found,
        Listening,
        PeerDropped,
        Progress,
        Published,
        PublishProgress,
        Ready,
        Remark,
        Source,
        SourceBytes,
        SourceLacks,
        Started,
        Stopped,
        Unmatched,
        Waiting,
        Watch,
        printable,
        some_of,
    )

__all__ = [
    "DEFAULT_TAG",
    "KINDS",
    "OLLAMA_MEDIA_TYPE",
    "Address",
    "Adopted",
    "AlreadyRunning",
    "ChunkMismatch",
    "Config",
    "ContentChanged",
    "Damaged",
    "DiskError",
    "DiskFull",
    "Done",
    "Draft",
    "Event",
    "Failed",
    "FilesLeft",
    "FilesReady",
    "Found",
    "GgufFacts",
    "Hub",
    "HubError",
    "Listening",
    "Malformed",
    "NoProvider",
    "NodeGone",
    "NotFound",
    "NotTrusted",
    "Occupied",
    "OllamaImage",
    "OllamaKind",
    "OllamaPart",
    "OpenModel",
    "PassingOn",
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
    "Unmatched",
    "Unsafe",
    "UsageError",
    "Waiting",
    "Watch",
    "check_mirror",
    "check_name",
    "commit_of",
    "commit_of_version",
    "daemon_settings",
    "default_folder",
    "examine",
    "examine_closed",
    "gguf_facts",
    "gguf_weights",
    "git_blob_sha1",
    "given_with_gguf",
    "has_home",
    "is_alias",
    "is_commit",
    "is_gguf_shard",
    "is_quantisation",
    "is_sha256",
    "lfs_pointer",
    "looks_like_gguf",
    "ollama_image",
    "open_hub",
    "parse_digest",
    "parse_duration",
    "parse_listen",
    "parse_peer_address",
    "parse_peer_id",
    "parse_reference",
    "printable",
    "quantisation_of",
    "run_node",
    "salvage",
    "some_of",
    "version_at",
]

_ROOMS = {
    "p2phub.api.daemon": "daemon_settings examine_closed run_node salvage",
    "p2phub.api.drafting": "Draft",
    "p2phub.api.examining": "examine",
    "p2phub.api.fetching": "default_folder",
    "p2phub.api.hub": "Hub has_home open_hub",
    "p2phub.api.looking": "commit_of_version version_at",
    "p2phub.api.passing_on": "PassingOn",
    "p2phub.api.reading": "OpenModel",
    "p2phub.content": "parse_digest",
    "p2phub.errors": "AlreadyRunning ChunkMismatch ContentChanged Damaged DiskError DiskFull HubError Malformed "
    "NoProvider NodeGone NotFound NotTrusted Occupied PeerError Unsafe UsageError",
    "p2phub.formats": "GgufFacts gguf_facts looks_like_gguf",
    "p2phub.identity": "Address PeerAddress PeerId parse_peer_address parse_peer_id",
    "p2phub.manifest": "DEFAULT_TAG KINDS OLLAMA_MEDIA_TYPE OllamaImage OllamaKind OllamaPart Reference Ticket "
    "check_mirror check_name commit_of gguf_weights git_blob_sha1 given_with_gguf is_alias is_commit is_gguf_shard "
    "is_quantisation is_sha256 lfs_pointer ollama_image parse_reference quantisation_of",
    "p2phub.node": "Config parse_duration parse_listen",
    "p2phub.observe": "Adopted Done Event Failed FilesLeft FilesReady Found Listening PeerDropped Progress "
    "Published PublishProgress Ready Remark Source SourceBytes SourceLacks Started Stopped Unmatched Waiting Watch "
    "printable some_of",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(room), name)
    globals()[name] = found  # Asked once.
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

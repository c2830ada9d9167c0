"""The command line with a hub that only plays: it returns what a test gave it, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from p2phub import api

Json = dict[str, Any]
PEER = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
DIGEST = "bagaqihradbin26rnxyitceueaovdn2zdxic5zfvvddhb4ddxj5ujio3htula"
TICKET = "p2phub:" + "sowxamtqnb2weidu" * 50
ADDRESS = f"/ip4/127.0.0.1/tcp/4717/p2p/{PEER}"
MIRROR = "https://models.example.org/{name}"

DONE = api.Done("/models/m", bytes_received=5_000_000, bytes_reused=0, seconds=0.5, first_byte_s=0.1,
                sources=[api.SourceBytes(PEER, 5_000_000)])  # fmt: skip
PUBLISHED = api.Published(f"{PEER}/m", "bagmanifest", "p2phub:ticket", 3, 5_000_000, 5_000_000, True, 0.25)
RELEASE = {
    "publisher": PEER,
    "name": "m",
    "tag": "main",
    "sequence": 7,
    "manifest": "bagmanifest",
    "previous": None,
    "parents": [{"manifest": "bagbase", "relation": "finetune"}],
    "kind": "model",
    "bytes": 5_000_000,
    "created": 1_700_000_000,
    "expires": 1_730_000_000,
    "licence": "MIT",
    "description": "small",
    "contradicted_by": None,
}
RESULTS: Json = {
    "init": {"home": "/h", "publisher_id": PEER, "peer_id": PEER},
    "publish": PUBLISHED,
    "survey": {
        "files": [{"path": "a.bin", "size": 9}],
        "left_out": [{"path": ".git", "why": "junk"}],
        "refused": [],
        "refused_because": None,
        "bytes": 9,
    },
    "fetch": DONE,
    "give": DONE,
    "unpublish": {
        "reference": "m",
        "manifest": "bagmanifest",
        "folder": "/models/m",
        "mirror_files_removed": "/models/m/.p2phub/mirror",
        "earlier": ["bagearlier", "bagbefore"],
        "earlier_pinned": ["bagpinned"],
    },
    "remove": {"manifest": "bagmanifest", "folder": "/models/m", "folders": ["/models/m"]},
    "info": {
        "reference": "m",
        "manifest": "bagmanifest",
        "release": RELEASE,
        "contradiction": None,
        "held": {"folder": "/models/m", "complete": True},
        "files": [{"path": f"{n}.bin", "size": 9, "sha256": "00", "git_sha1": "00", "chunks": 1} for n in range(25)],
        "files_unknown_because": None,
        "tensors": [
            {"path": "7.bin", "name": "norm.\x1b[2J", "dtype": "F32", "shape": [3, 4], "bytes": 48, "start": 80}
        ],
        "tensors_unknown_because": None,
    },
    "adopt": {
        "models": 1,
        "complete": 1,
        "bytes": 5_000_000,
        "bytes_hashed": 5_000_000,
        "gone": [],
        "problems": [{"path": "m.gguf", "why": "is not what it is called"}],
        "seconds": 0.5,
    },
    "plan": {
        "reference": "m",
        "manifest": "bagmanifest",
        "bytes": 5_000_000,
        "bytes_here": 4_000_000,
        "bytes_missing": 1_000_000,
        "files": [{"path": "new.bin", "bytes": 5_000_000, "bytes_here": 4_000_000}],
        "here": [{"path": f"/models/{n}.bin", "bytes": 500_000} for n in range(8)],
        "providers": [{"peer_id": PEER, "address": "/ip4/127.0.0.1/tcp/4717", "via": "dht"}],
        "unmatched": [],
    },
    "diff": {
        "before": "bagbefore",
        "after": "bagafter",
        "files": [
            {"change": "moved", "path": "new.bin", "was": "old.bin", "bytes_before": 9, "bytes_after": 9},
            {"change": "added", "path": "more.bin", "was": None, "bytes_before": None, "bytes_after": 2_000},
        ],
        "files_same": 3,
        "tensors": [
            {
                "change": "changed",
                "name": "norm",
                "path": "m.safetensors",
                "before": {"dtype": "F32", "shape": [3], "bytes": 12},
                "after": {"dtype": "F16", "shape": [3], "bytes": 6},
            },
            {
                "change": "maybe changed",
                "name": "bias",
                "path": "m.safetensors",
                "before": {"dtype": "F32", "shape": [], "bytes": 4},
                "after": {"dtype": "F32", "shape": [], "bytes": 4},
            },
        ],
        "tensors_same": 40,
        "tensors_unknown_because": None,
        "bytes_new": 2_006,
        "bytes_after": 5_000_000,
    },
    "ls": [
        {
            "manifest": "bagmanifest",
            "references": [f"{PEER}/m"],
            "folder": "/models/m",
            "files": 3,
            "files_here": 3,
            "files_damaged": 0,
            "bytes": 5_000_000,
            "bytes_selected": None,
            "complete": True,
            "published": True,
            "private": False,
            "origin": "published",
            "pinned": False,
            "announced_to": 4,
            "earlier": [],
            "replaced": False,
            "there": True,
            "problem": None,
        }
    ],
    "unfinished": [],
    "search": {
        "items": [
            {
                "ref": f"{PEER}/m",
                "name": "lab/m",
                "publisher": PEER,
                "tag": "main",
                "manifest": "bagmanifest",
                "commit": "00" * 20,
                "kind": "model",
                "title": "small",
                "licence": "MIT",
                "formats": ["gguf"],
                "size": 5_000_000,
                "files": 3,
                "created": 1_700_000_000,
                "sequence": 7,
                "held": True,
                "origin": "fetched",
                "pinned": True,
                "private": False,
                "seen": 1_700_000_000,
            }
        ],
        "cursor": None,
        "total": None,
        "complete": True,
    },
    "log": [RELEASE],
    "verify": {
        "manifest": "bagmanifest",
        "folder": "/models/m",
        "files": 3,
        "bytes": 5_000_000,
        "damaged": [],
        "origin": "fetched",
    },
    "pin": {"manifest": "bagmanifest", "folder": "/models/m", "fetched": None},
    "unpin": {"manifest": "bagmanifest"},
    "gc": {
        "dry_run": False,
        "bytes": 5_000_000,
        "items": [
            {
                "manifest": "bagmanifest",
                "name": f"{PEER}/m",
                "references": [f"{PEER}/m"],
                "folder": "/h/files/00",
                "bytes": 5_000_000,
                "used": 1_700_000_000,
                "others": 2,
            }
        ],
        "leftovers": [{"folder": "/h/files/.going.00", "bytes": 7}],
        "unfinished": [{"manifest": "bagmanifest", "references": [], "folder": "/models/n", "bytes": 9}],
        "unfinished_bytes": 0,
        "blobs": 3,
        "blob_bytes": 300,
        "rows": 1,
    },
    "du": {
        "items": [
            {
                "manifest": "bagmanifest",
                "references": [f"{PEER}/m"],
                "earlier": [],
                "folder": "/models/m",
                "origin": "own",
                "pinned": True,
                "complete": True,
                "bytes": 5_000_000,
                "bytes_once": 4_000_000,
                "bytes_same_file": 0,
                "bytes_same_content": 1_000_000,
            }
        ],
        "by_origin": {"own": 5_000_000},
        "quota": 200_000_000_000,
        "bytes": 5_000_000,
        "bytes_files": 5_000_000,
        "bytes_content": 4_500_000,
        "blobs": 3,
        "blob_bytes": 300,
        "index_bytes": 40_960,
        "log_bytes": 900,
        "leftover_bytes": 7,
    },
    "share": {
        "place": "/mnt/lab",
        "listed": 2,
        "named": 3,
        "bytes": 5_000_000,
        "left_out": [{"folder": f"/mnt/lab/{n}", "why": "the catalogue is full"} for n in range(12)],
        "others_may_read": False,
        "problem": None,
    },
    "shares": [
        {
            "place": "/mnt/lab",
            "listed": 0,
            "named": 0,
            "bytes": 0,
            "left_out": [],
            "others_may_read": True,
            "problem": "the file system is read-only",
        }
    ],
    "unshare": {"place": "/mnt/lab"},
    "attach": {
        "place": "/mnt/lab",
        "configured": False,
        "writer": PEER,
        "listed": 2,
        "named": 3,
        "left_out": [{"folder": f"m{n}", "why": "what describes it is missing, or damaged"} for n in range(12)],
        "problem": None,
    },
    "attached": [
        {
            "place": "/mnt/lab",
            "configured": True,
            "writer": None,
            "listed": 0,
            "named": 0,
            "left_out": [],
            "problem": "it did not answer within 10 s",
        }
    ],
    "detach": {"place": "/mnt/lab"},
    "peers": [{"peer_id": PEER, "addresses": ["/ip4/127.0.0.1/tcp/4717"], "proven": True}],
    "status": {
        "daemon": True,
        "home": "/h",
        "peer_id": PEER,
        "publisher_id": PEER,
        "addresses": [ADDRESS],
        "lan": True,
        "seconds": 3.0,
        "tasks": 9,
        "processes": [
            {"pid": 7, "role": "node", "anonymous_bytes": 40_000_000, "descriptors": 30},
            {"pid": 8, "role": "bulk", "anonymous_bytes": 30_000_000, "descriptors": 1_200},
        ],
        "anonymous_bytes": 70_000_000,
        "descriptors": 1_230,
        "up": None,
        "down": 20_000_000,
        "quota": 200_000_000_000,
        "counted": {"own_bytes": 5_000_000, "unfinished_bytes": 0, "upstream_bytes": 3_000_000},
        "jobs": [
            {
                "job": 1,
                "reference": "m",
                "into": "/models/m",
                "bytes_verified": 12,
                "up": None,
                "down": 1_000_000,
                "background": True,
            }
        ],
        "served": {"bagmanifest": 99},
        "names": {"bagmanifest": f"{PEER}/m"},
    },
    "explain": {
        "job": 1,
        "bytes_verified": 12,
        "bytes_missing": 5_000_000,
        "bytes_duplicate": 0,
        "bound": "network",
        "because": "the providers are slow",
        "waiting": None,
        "sources": [
            {
                "peer_id": PEER,
                "via": "direct",
                "nearness": "lan",
                "addresses": ["/ip4/127.0.0.1/tcp/4717"],
                "links": 1,
                "bytes_received": 12,
                "bytes_per_s": 3.0,
                "bytes_leased": 2_000_000,
                "window_bytes": 250_000,
                "trip_s": 0.012,
                "silent_s": 0.1,
                "state": "sending",
            }
        ],
    },
    "limit": {"job": None, "up": 5_000_000, "down": None, "by_schedule": False},
    "names": {"alice": PEER},
    "name_add": None,
    "name_remove": None,
    "doctor": [
        {"check": "disk", "ok": True, "detail": "9 GB free", "hint": None},
        {"check": "reachable", "ok": False, "detail": "nobody could", "hint": "open port 4717"},
    ],
    "key_export": b"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n",
    "key_import": {"publisher_id": PEER},
}


class FakeHub:
    """Plays `results`, and tells `events` first to who watches. `meanwhile` runs inside each verb."""

    transient = False  # As where a daemon does the work.

    def __init__(self) -> None:
        self.results: Json = dict(RESULTS)
        self.events: list[api.Event] = []
        self.error: BaseException | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.calls: list[tuple[str, tuple[Any, ...], Json]] = []
        self.opened: list[Json] = []

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        if verb not in RESULTS:
            raise AttributeError(verb)

        async def play(*args: Any, watch: Callable[[api.Event], None] | None = None, **options: Any) -> Any:
            self.calls.append((verb, args, options))
            for event in self.events:
                assert watch is not None
                watch(event)
            if self.meanwhile is not None:
                await self.meanwhile()
            if self.error is not None:
                raise self.error
            return self.results[verb]

        return play

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[FakeHub]:
        self.opened.append(options)
        yield self

    async def run_node(self, *, watch: Callable[[api.Event], None], **options: Any) -> None:
        self.opened.append(options)
        for event in self.events:
            watch(event)
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.error is not None:
            raise self.error


class Said:
    """What one call of the command line did: exit code, stdout, stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def objects(self) -> list[Json]:
        """The lines of stdout, which are JSON objects with "event" and nothing else."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(each, dict) and next(iter(each)) == "event" for each in found), self.out
        return found

    @property
    def last(self) -> Json:
        return self.objects[-1]


Cli = Callable[..., Said]
"""Runs a command by its words: the fixture `cli` of `tests/unit/cli`."""

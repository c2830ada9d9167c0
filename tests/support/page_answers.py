"""What a made-up node tells its page: a home with something of everything, so that each view has all that it can show.

The shapes are those of docs/design/page.md. For tests of the page's looks; what a real node tells is tested with one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

Json = Any
Answers = Mapping[str, Callable[[Mapping[str, str]], Json]]
"""What is told for each question: by the path below /-/api/, from the words of its query."""

ANN = "12D3KooWAnnQxYv3n8mJrTz5bC2dEfGh7kLpWsVuMq9aBcDeFgHi"
BOB = "12D3KooWBobKjHgFdSa8qWeRtYuIoPzXcVbNm2LkJhGfDsAqWeRt"
MANIFEST = "bafyr4i" + "k7qd3h2zt5wvx6y4rjmne2la" + "p5oq3s7u2c4b6gifmwz2hq"
REFERENCE = f"{ANN}/minilm@main"
DAY = 1_760_000_000.0
MB = 1_000_000
LAYERS = 6


def overview() -> dict[str, Json]:
    return {
        "node": {
            "peer_id": BOB,
            "publisher_id": BOB,
            "version": "0.1.0",
            "addresses": [
                f"/ip4/192.168.7.21/tcp/4717/p2p/{BOB}",
                f"/ip4/203.0.113.9/tcp/4717/p2p/{BOB}",
                f"/ip6/2001:db8::21/tcp/4717/p2p/{BOB}",
            ],
            "lan": True,
            "seconds": 93_000.0,
            "reachable": None,
        },
        "disk": {
            "held_bytes": 118_400 * MB,
            "published_bytes": 14_100 * MB,
            "adopted_bytes": 52_300 * MB,
            "fetched_bytes": 38_000 * MB,
            "own_bytes": 14_000 * MB,
            "shared_bytes": 8_000 * MB,
            "quota_bytes": 200_000 * MB,
            "free_bytes": 311_000 * MB,
        },
        "rates": {"up": 4.2 * MB, "down": 61.5 * MB},
        "caps": {"up": 5 * MB, "down": None, "by_schedule": False},
        "served_bytes": 7_200 * MB,
        "peers": 41,
        "proven": 12,
        "held": 23,
        "unfinished": 2,
        "changed": 7,
        "jobs": jobs(),
    }


def jobs() -> list[dict[str, Json]]:
    def source(peer: str, address: str, kind: str, near: str, rate: float, got: float, note: str) -> dict[str, Json]:
        return {
            "peer_id": peer, "address": address, "kind": kind, "near": near, "rate": rate * MB,
            "bytes": int(got * MB), "links": 1, "note": note,
        }  # fmt: skip

    def job(number: int, name: str, state: str, done: float, total: float, **more: Json) -> dict[str, Json]:
        return {
            "id": f"j{number}", "ref": f"{ANN}/{name}@main", "name": name, "manifest": None, "action": "fetch",
            "into": None, "state": state, "mine": True, "providers": [], "ticket": None,
            "done_bytes": int(done * MB), "total_bytes": int(total * MB),
            "rate": 0.0, "eta_s": None, "bound": None, "why": None, "error": None, "hint": None, "began": DAY,
            "ended": None, "sources": [], "sources_total": 0,
        } | more  # fmt: skip

    minilm_sources = [
        source(ANN, f"/ip4/192.168.7.5/tcp/4717/p2p/{ANN}", "lan", "site", 48.3, 2_310, "as fast as it sends"),
        source(BOB[:-4] + "Near", "/ip4/198.51.100.7/tcp/4717", "direct", "far", 11.9, 604, "its cap: 12 MB/s"),
        source(BOB[:-4] + "Slow", "/ip6/2001:db8::77/tcp/4717", "direct", "far", 1.3, 71, "slow: gets little to do"),
        source(BOB[:-4] + "Mirr", "https://models.example.org", "mirror", "far", 0.0, 12, "waits: enough others"),
    ]
    return [
        job(
            1, "mistral-nemo-12b-instruct", "running", 2_997, 7_400, rate=61.5 * MB, eta_s=71.6, manifest=MANIFEST,
            why="the sources: the fastest sends at 48 MB/s, and three more have what is missing", bound="sources",
            sources=minilm_sources, sources_total=4,
        ),
        job(
            2, "wikipedia-2026-en-embeddings", "waiting", 120, 48_000, mine=False,
            why="Nobody who has the rest can be reached now; it goes on when somebody comes, until 18:30.",
        ),
        job(3, "bge-small", "running", 0, 0, action="publish", done_bytes=None, total_bytes=None),
        job(4, "all-minilm-l6-v2", "done", 91.6, 91.6, ended=DAY + 60),
        job(
            5, "whisper-large-v3", "failed", 410, 3_100, ended=DAY + 90,
            error="no provider has 212 chunks of it", hint="p2phub fetch --wait 24h waits for one",
        ),
        job(6, "phi-4-mini", "stopped", 1_200, 7_600, ended=DAY + 95),
    ]  # fmt: skip


def item(number: int, *, held: bool = True) -> dict[str, Json]:
    names = ["all-minilm-l6-v2", "mistral-nemo-12b-instruct", "tiny-imagenet", "bge-small-en-v1.5", "whisper-large-v3"]
    titles = ["Sentence embeddings, 384 dimensions", "Instruction-tuned, 12 B, BF16", "", "Retrieval, English", ""]
    name = names[number % 5] + (f"-{number // 5}" if number >= 5 else "")
    origins = ["fetched", "published", "adopted", "own", "shared"]
    return {
        "ref": f"{ANN if number % 2 else BOB}/{name}@main",
        "name": name,
        "kind": "dataset" if number % 5 == 2 else "model",
        "size": [91 * MB, 24_500 * MB, 237 * MB, 133 * MB, 3_100 * MB][number % 5],
        "files": [14, 21, 3, 11, 9][number % 5] if held else None,
        "files_here": 9,
        "complete": number % 5 != 4,
        "pinned": number % 3 == 0,
        "origin": origins[number % 5] if held else None,
        "published": number % 5 == 1,
        "private": number % 7 == 6,
        "created": DAY - 86_400 * number,
        "title": titles[number % 5],
        "licence": ["apache-2.0", "apache-2.0", "cc-by-4.0", "mit", ""][number % 5],
        "commit": "7dbbc90392e2f80f3d3c277d6e90027e55de9125",
        "publisher": ANN if number % 2 else BOB,
        "tag": "v2" if number % 5 == 3 else "main",
        "formats": ["safetensors"],
        "manifest": MANIFEST,
        "folder": None,
        "held": held,
    }


def page_of(total: int, query: Mapping[str, str], make: Callable[[int], Json]) -> dict[str, Json]:
    """Return one page of a list of `total` items, as the node pages them."""
    start = int(query.get("cursor", "0"))
    stop = min(total, start + int(query.get("limit", "50")))
    return {
        "items": [make(number) for number in range(start, stop)],
        "cursor": stop if stop < total else None,
        "total": total,
    }


def tensor_rows() -> list[dict[str, Json]]:
    shapes = {
        "attention.query.weight": [384, 384], "attention.key.weight": [384, 384], "attention.value.weight": [384, 384],
        "attention.output.weight": [384, 384], "mlp.up.weight": [1536, 384], "mlp.down.weight": [384, 1536],
        "norm.weight": [384],
    }  # fmt: skip
    names = [("embeddings.word_embeddings.weight", [30522, 384])]
    names += [(f"encoder.layer.{number}.{name}", shape) for number in range(LAYERS) for name, shape in shapes.items()]
    names += [("pooler.dense.weight", [384, 384])]
    rows, at = [], 8_000
    for name, shape in names:
        length = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        held = length if at < 60 * MB else 0
        rows.append(
            {"name": name, "file": "model.safetensors", "dtype": "F32", "shape": shape, "start": at,
             "stop": at + length, "held_bytes": held}
        )  # fmt: skip
        at += length
    return rows


def model(ref: str) -> dict[str, Json]:
    size = tensor_rows()[-1]["stop"]
    files = [
        ("README.md", 10_300, 10_300, None), ("config.json", 612, 612, None),
        ("data/train-00000-of-00002.parquet", 118 * MB, 40 * MB, None),
        ("model.safetensors", size, 63 * MB, None),
        ("pytorch_model.bin", 91 * MB, 0, "it is a pickle, and names posix.system"),
        ("tokenizer.json", 466_000, 466_000, None), ("vocab.txt", 231_000, 231_000, None),
    ]  # fmt: skip
    return {
        "ref": ref, "name": "all-minilm-l6-v2", "kind": "model", "description": "Sentence embeddings, 384 dimensions",
        "licence": "apache-2.0", "size": sum(size for _, size, _, _ in files), "publisher": ANN, "manifest": MANIFEST,
        "tag": "main", "created": DAY, "expires": DAY + 34_000_000,
        "pinned": False, "published": False, "private": False, "folder": "/home/ann/models/all-minilm-l6-v2",
        "origin": "fetched", "held": "some", "held_bytes": 103 * MB, "card": "README.md",
        "files": [
            {"path": path, "size": size, "sha256": f"{number:02x}" * 32, "held_bytes": held, "danger": danger}
            for number, (path, size, held, danger) in enumerate(files)
        ],
        "files_total": len(files),
        "versions": [
            {"tag": "main", "sequence": 1_760_000_000_123, "created": DAY, "manifest": MANIFEST, "here": True},
            {"tag": "v1", "sequence": 1_750_000_000_456, "created": DAY - 5e6,
             "manifest": MANIFEST[:-3] + "old", "here": False},
        ],
        "parents": [{"manifest": MANIFEST[:-3] + "par", "relation": "finetune"}], "contradicted": False,
        "files_unknown": None,
    }  # fmt: skip


def chunk_map() -> dict[str, Json]:
    rows = tensor_rows()
    tensors = [{"name": row["name"], "start": row["start"], "stop": row["stop"], "count": 1} for row in rows]
    size = rows[-1]["stop"]
    return {
        "files": [
            {"path": "data/train-00000-of-00002.parquet", "size": 118 * MB, "chunks": 118,
             "held": [[0, 22 * MB], [90 * MB, 108 * MB]], "tensors": []},
            {"path": "model.safetensors", "size": size, "chunks": 96,
             "held": [[0, 47 * MB], [52 * MB, 60 * MB], [71 * MB, 79 * MB]], "tensors": tensors},
            {"path": "pytorch_model.bin", "size": 91 * MB, "chunks": 91, "held": [], "tensors": []},
        ],
        "files_total": 7,
    }  # fmt: skip


def rows() -> dict[str, Json]:
    chance = random.Random(7)
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "near", "this", "river", "bank"]
    return {
        "columns": [{"name": "id", "type": "int64"}, {"name": "text", "type": "string"},
                    {"name": "score", "type": "double"}, {"name": "label", "type": "string"}],
        "columns_total": 4,
        "rows": [
            [str(number), " ".join(chance.choices(words, k=9)), f"{chance.random():.4f}", chance.choice(["a", None])]
            for number in range(20)
        ],
        "total": 101_400, "cut": False,
    }  # fmt: skip


def peers() -> dict[str, Json]:
    def peer(name: str, down: float, got: float | None, *, proven: bool, note: str | None) -> dict[str, Json]:
        address = f"/ip4/198.51.100.{len(name)}/tcp/4717"
        return {
            "peer_id": BOB[:-4] + name, "address": address, "addresses": [address], "proven": proven,
            "down": down * MB, "bytes": None if got is None else int(got * MB), "note": note,
        }  # fmt: skip

    return {
        "items": [
            peer("Ann1", 48.3, 2_310, proven=True, note="as fast as it sends"),
            peer("Near", 11.9, 604, proven=True, note="its cap: 12 MB/s"),
            peer("Slow", 0, 71, proven=True, note=None),
            peer("Known", 0, None, proven=False, note=None),
        ]
    }


CARD = (
    "<!doctype html><html lang=en><meta name=color-scheme content='light dark'><title>Card</title>"
    "<body><h1>all-MiniLM-L6-v2</h1><p>Maps sentences to 384 dimensions.</p>"
)


def answers(*, held: int = 23, begun: bool = True) -> Answers:
    """Return what a node tells that holds `held` repositories; one that has not `begun` holds and knows nothing."""
    told = overview() | {"held": held}
    if not begun:
        told |= {
            "held": 0, "jobs": [], "peers": 0, "proven": 0, "rates": {"up": 0, "down": 0},
            "disk": dict.fromkeys(told["disk"], 0) | {"quota_bytes": None, "free_bytes": 311_000 * MB},
        }  # fmt: skip
    tensors = tensor_rows()
    return {
        "overview": lambda query: told,
        "repositories": lambda query: page_of(told["held"], query, item),
        "search": lambda query: (
            page_of(64 if begun else 0, query, lambda number: item(number, held=number % 3 == 0)) | {"total": None}
        ),
        "peers": lambda query: peers() if begun else {"items": []},
        "model": lambda query: model(query["ref"]),
        "providers": lambda query: {
            "items": [
                {"peer_id": ANN, "address": f"/ip4/192.168.7.5/tcp/4717/p2p/{ANN}", "via": "lan"},
                {"peer_id": BOB, "address": f"/ip4/203.0.113.9/tcp/4717/p2p/{BOB}", "via": "dht"},
            ]
        },
        "tensors": lambda query: page_of(len(tensors), query, tensors.__getitem__),
        "map": lambda query: chunk_map(),
        "rows": lambda query: rows(),
        "unfinished": lambda query: {
            "items": [
                {"reference": f"{ANN}/phi-4-mini@main", "manifest": MANIFEST, "folder": "/home/ann/phi",
                 "bytes": 7_600 * MB, "percent": 16.2, "job": None, "references": [], "own": False, "unsafe": False}
            ] if begun else []
        },
        "check": lambda query: {},
        "survey": lambda query: {
            "files": [{"path": "config.json", "size": 612}, {"path": "model.safetensors", "size": 91 * MB}],
            "files_total": 2, "bytes": 91 * MB + 612,
            "left_out": [{"path": ".git/HEAD", "why": "junk"}],
            "refused": [{"path": ".env", "why": "looks like a secret"}],
            "refused_because": "what looks like a secret is published only if it is named",
        },
    }  # fmt: skip

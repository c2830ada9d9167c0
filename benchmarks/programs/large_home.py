"""Make a home that holds and pins a great deal, without its content: `python -m benchmarks.programs.large_home HOME N`.

N manifests of CHUNKS chunks lie in its own store and are pinned, one in a hundred more is not. Metadata, log and index
are what a node would have written, but for the chunks' bytes, which nobody looks at; they are written straight to their
place, since to fetch a million gigabytes takes a while. Prints the digests of some chunks, to look up.
"""

import os
import sqlite3
import sys
from pathlib import Path

import numpy as np

from p2phub.content import Digest, chunk_list, digest_of, encode_lists, pack
from p2phub.manifest import FileEntry, Manifest, encode_manifest
from p2phub.store.collecting import OWN_FILES
from p2phub.store.database import ALL_NOTED, INDEX, TRUSTED
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.holding import Origin
from p2phub.store.index import key_of
from p2phub.store.ledger import PIN, mark_key
from p2phub.store.logged import HOLDING, holding_key
from p2phub.store.records import encode_record
from p2phub.store.state_log import LOG

CHUNKS = 100
CHUNK_BYTES = 1 << 20
LOOKED_UP = 1000
_SEED = 1
_LONG_AGO = 1_700_000_000


def main(home: Path, pinned: int) -> None:
    FilesystemStore(home).holdings()  # Makes the home, and the index with its tables.
    database = sqlite3.connect(home / INDEX, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    count = pinned + max(1, pinned // 100)
    keys = np.empty(count * CHUNKS, dtype=np.int64)
    roots: list[int] = []
    log = bytearray()
    chance = np.random.default_rng(_SEED)
    looked_up: list[str] = []
    database.execute("BEGIN")
    for number in range(count):
        digests = chance.bytes(32 * CHUNKS)
        manifest, root, blobs = _make(digests, number)
        keys[number * CHUNKS : (number + 1) * CHUNKS] = np.frombuffer(digests, dtype=">i8")[::4]
        if number % max(1, count // LOOKED_UP) == 0:
            looked_up.append(digests[:32].hex())
        for digest, blob in blobs.items():
            path = home / "blobs" / digest.raw.hex()
            path.write_bytes(blob)
            os.utime(path, times=(_LONG_AGO, _LONG_AGO))
        folder = home / OWN_FILES / manifest.raw.hex()
        folder.mkdir(parents=True)
        _record(log, HOLDING, holding_key(manifest, folder), [os.fsencode(folder), 1, Origin.OWN.value, []])
        if number < pinned:
            _record(log, PIN, mark_key(manifest), [])
        roots.append(_insert(database, number + 1, manifest, folder, root, list(blobs)))
    order = np.argsort(keys, kind="stable")
    of_order = np.array(roots, dtype=np.int64)[order // CHUNKS]
    rows = zip(keys[order].tolist(), of_order.tolist(), (order % CHUNKS).tolist(), strict=True)
    database.executemany("INSERT INTO chunk VALUES (?, ?, ?)", rows)
    database.execute("COMMIT")
    database.close()
    (home / LOG).write_bytes(log)
    print("\n".join(looked_up))


def _make(digests: bytes, number: int) -> tuple[Digest, Digest, dict[Digest, bytes]]:
    """Return a manifest of one file, that file's root, and the blobs that describe them."""
    chunks = chunk_list([CHUNK_BYTES] * CHUNKS, digests)
    root, lists = encode_lists(chunks)
    entry = FileEntry(f"model-{number}.safetensors", CHUNKS * CHUNK_BYTES, CHUNKS, root, digests[:32])
    pages = encode_manifest(Manifest((entry,)))
    return digest_of(pages[0]), root, {digest_of(blob): blob for blob in (*pages, *lists)}


def _record(log: bytearray, kind: str, key: tuple[str, ...], value: list[object]) -> None:
    log += encode_record(pack([kind, list(key), value]), len(log))


def _insert(
    database: sqlite3.Connection, number: int, manifest: Digest, folder: Path, root: Digest, blobs: list[Digest]
) -> int:
    """Write the rows of a holding of one file, but for its chunks. Returns the key of its root."""
    where = (number, manifest.raw, os.fsencode(folder), Origin.OWN.value, ALL_NOTED)
    database.execute("INSERT INTO holding (id, manifest, folder, origin, chunked) VALUES (?, ?, ?, ?, ?)", where)
    key, size = key_of(root.raw), CHUNKS * CHUNK_BYTES
    file = (number, 0, TRUSTED, 1, number, size, _LONG_AGO, _LONG_AGO, None, key)
    database.execute("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", file)
    database.execute("INSERT INTO content VALUES (?, ?, ?, ?, 1)", (key, root.raw, size, CHUNKS))
    database.execute("INSERT INTO used VALUES (?, ?, ?)", (number, _LONG_AGO + number, number % 7))
    database.executemany("INSERT INTO needed VALUES (?, ?)", [(key_of(blob.raw), number) for blob in blobs])
    return key


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

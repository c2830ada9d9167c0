"""The chunk list of a file that was hashed: what its list blobs are made from."""

from __future__ import annotations

from p2phub.content import ChunkList, chunk_list
from p2phub.store.interface import HashedFile


def list_of_file(file: HashedFile) -> ChunkList:
    """Return the chunks of a file that was hashed."""
    if file.chunks is not None:
        return file.chunks
    entry = file.entry
    return chunk_list([entry.size], entry.root.raw) if entry.chunks else chunk_list([], b"")

"""The chunk list of one file of a table: what its list blobs are made from."""

from __future__ import annotations

from p2phub.content import ChunkList, ChunkTable, chunk_list
from p2phub.store.interface import HashedFile


def list_of(table: ChunkTable, file: int) -> ChunkList:
    """Return the chunks of file number `file`."""
    first, stop = table.span(file)
    refs = list(table.chunks(first, stop - first))
    return chunk_list([ref.length for ref in refs], b"".join(ref.digest for ref in refs))


def list_of_file(file: HashedFile) -> ChunkList:
    """Return the chunks of a file that was hashed."""
    if file.chunks is not None:
        return file.chunks
    entry = file.entry
    return chunk_list([entry.size], entry.root.raw) if entry.chunks else chunk_list([], b"")

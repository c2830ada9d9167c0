"""The chunk list of one file of a table: what its list blobs are made from."""

from __future__ import annotations

from p2phub.content import ChunkList, ChunkTable, chunk_list


def list_of(table: ChunkTable, file: int) -> ChunkList:
    """Return the chunks of file number `file`."""
    first, stop = table.span(file)
    refs = list(table.chunks(first, stop - first))
    return chunk_list([ref.length for ref in refs], b"".join(ref.digest for ref in refs))

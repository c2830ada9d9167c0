"""Describe a renamed copy of what a home holds: `python -m benchmarks.programs.rename_held HOME MANIFEST`.

Prints a ticket of the manifest that has the same files below `renamed/`. Its pages are put into the home, as if they
had been fetched; its chunk lists are there, for they are those of the held files.
"""

import sys
from pathlib import Path

from msgspec.structs import replace

from p2phub.content import Codec, digest_of
from p2phub.manifest import Manifest, Ticket, decode_manifest, encode_manifest, encode_ticket
from p2phub.store.filesystem import FilesystemStore


def main() -> None:
    """Put the pages, print the ticket."""
    store = FilesystemStore(Path(sys.argv[1]))
    [held] = {holding.manifest for holding in store.holdings() if holding.manifest.text(Codec.MSGPACK) == sys.argv[2]}
    root = store.blob(held)
    assert root is not None
    files = decode_manifest(root, store.blob).files
    pages = encode_manifest(Manifest(tuple(replace(file, path=f"renamed/{file.path}") for file in files)))
    store.put_blobs(pages)
    store.close()
    print(encode_ticket(Ticket(digest_of(pages[0]))))


if __name__ == "__main__":
    main()

"""Check fetched files against the record: `python -m benchmarks.programs.check_files RECORD ROOT`.

Fails if one differs. It is what a user of curl has to do after a download, in the fastest way BLAKE3 has: the
mapped file, on all cores.
"""

import sys
from pathlib import Path

from benchmarks.payload import digest_of, read_record


def main() -> None:
    """Hash each file of the record below ROOT."""
    record, root = Path(sys.argv[1]), Path(sys.argv[2])
    for file in read_record(record):
        if digest_of(root / file.path) != file.blake3:
            sys.exit(f"{file.path}: digest differs")


if __name__ == "__main__":
    main()

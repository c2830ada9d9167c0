"""Copy files past the page cache: `python -m benchmarks.programs.disk_writer ROOT RECORD INTO`.

Two threads, a file at a time each, 1 MiB a write, O_DIRECT where the file system has it; the program ends once all is
durable. Sources are read from the page cache, where the driver has put them.
"""

import mmap
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.payload import PayloadFile, read_record

THREADS = 2
_BUFFER_BYTES = 1 << 20
_BLOCK_BYTES = 4096  # What O_DIRECT wants lengths to be a multiple of; a mapping begins at one.


def main() -> None:
    """Copy all files of the record, then end."""
    root, record, into = (Path(each) for each in sys.argv[1:])
    waiting = deque(read_record(record))
    for file in waiting:
        (into / file.path).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(THREADS) as threads:
        for work in [threads.submit(_copy_files, waiting, root, into) for _ in range(THREADS)]:
            work.result()


def _copy_files(waiting: deque[PayloadFile], root: Path, into: Path) -> None:
    with mmap.mmap(-1, _BUFFER_BYTES) as buffer:
        while True:
            try:
                file = waiting.popleft()
            except IndexError:
                return
            with (root / file.path).open("rb", buffering=0) as source:
                _copy(source.fileno(), file.size, into / file.path, buffer)


def _copy(source: int, size: int, path: Path, buffer: mmap.mmap) -> None:
    target = _create(path)
    try:
        if size:
            os.posix_fallocate(target, 0, size)
        for offset in range(0, size, _BUFFER_BYTES):
            with memoryview(buffer) as room:
                got = os.preadv(source, [room], offset)
                if got != min(_BUFFER_BYTES, size - offset):
                    raise EOFError(f"{path.name}: ends at {offset + got}")
                whole_blocks = -(-got // _BLOCK_BYTES) * _BLOCK_BYTES
                if os.pwrite(target, room[:whole_blocks], offset) != whole_blocks:
                    raise OSError(f"{path.name}: written in part at {offset}")
        os.ftruncate(target, size)
        os.fsync(target)
    finally:
        os.close(target)


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags | os.O_DIRECT, 0o644)
    except OSError:  # A file system in memory may not have it: it created the file, or did not.
        path.unlink(missing_ok=True)
        return os.open(path, flags, 0o644)


if __name__ == "__main__":
    main()

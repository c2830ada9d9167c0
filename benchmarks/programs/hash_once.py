"""One pass of BLAKE3 + SHA-256 over files: `python -m benchmarks.programs.hash_once ROOT`.

What publishing costs at least. Two threads, a file at a time each, one reused buffer a thread; both hashers give up
the GIL.
"""

import hashlib
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

_THREADS = 2
_BUFFER_BYTES = 1 << 20


def main() -> None:
    """Print path, BLAKE3 and SHA-256 of each file below ROOT."""
    root = Path(sys.argv[1])
    waiting = deque(sorted(path for path in root.rglob("*") if path.is_file()))
    with ThreadPoolExecutor(_THREADS) as threads:
        for work in [threads.submit(_hash_files, waiting) for _ in range(_THREADS)]:
            for line in work.result():
                print(line)


def _hash_files(waiting: deque[Path]) -> list[str]:
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    lines: list[str] = []
    while True:
        try:
            path = waiting.popleft()
        except IndexError:
            return lines
        first, second = blake3(), hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                first.update(buffer[:count])
                second.update(buffer[:count])
        lines.append(f"{path.name} {first.hexdigest()} {second.hexdigest()}")


if __name__ == "__main__":
    main()

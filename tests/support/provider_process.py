"""A provider in a process of its own, to be killed or frozen: `python -m tests.support.provider_process FOLDER BYTES`.

Serves one file of `BYTES` bytes (`random_files(1, a=BYTES)`) as the node of key b"a" * 32; prints its port.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from p2phub.identity import Address, PeerId, SecretKey
from p2phub.net.direct import open_plane
from p2phub.net.listen import open_listener
from p2phub.wire import ControlAnswer, ControlRequest, Pong
from tests.support.content import Published, content_of, random_files


async def _answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


async def main() -> None:
    shelf = Published(content_of(random_files(1, a=int(sys.argv[2]))), Path(sys.argv[1]))
    async with (
        open_plane(SecretKey(b"a" * 32), shelf, _answer) as plane,
        open_listener([Address("127.0.0.1", 0)], plane.handle) as listener,
    ):
        print(listener.addresses[0].port, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)

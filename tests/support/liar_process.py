"""A provider in a process of its own that lies in its first answer: `python -m tests.support.liar_process HOME MODEL`.

Publishes the folder MODEL in HOME and serves it with a lie; prints its multiaddr.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from p2phub.engine.desk import ControlDesk
from tests.support.hosts import key_of, open_host
from tests.support.liars import Lie, open_liar

KEY = key_of("liar")


async def main() -> None:
    home, model = map(Path, sys.argv[1:])
    async with open_host(home, "the liar's own") as host:
        await host.publish(model)
        desk = ControlDesk(host.shelf, host.ledger, host.workers)
        async with open_liar(KEY, host.shelf, Lie.SWAPPED, answer=desk.answer) as address:
            print(f"/ip4/127.0.0.1/tcp/{address.port}/p2p/{KEY.peer_id}", flush=True)
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)

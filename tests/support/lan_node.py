"""A neighbour for tests of the local network: a process of its own, in a network namespace of the test.

`python -m tests.support.lan_node NAME IP` obeys lines on stdin until it ends, and answers on stdout: `await N` waits
until N neighbours are there, `await-not N` until fewer are, `look` prints the candidates that a search gives. IP `-`:
it looks, but cannot be found.
"""

from __future__ import annotations

import sys
from hashlib import sha256

import trio

from p2phub import limits
from p2phub.content import digest_of
from p2phub.discovery import Candidate
from p2phub.identity import Address, PeerId, SecretKey
from p2phub.net.lan import Lan, open_lan

WAIT_S = 30.0


def peer_of(name: str) -> PeerId:
    """Return the id of the neighbour called `name`."""
    return SecretKey(sha256(name.encode()).digest()).peer_id


async def main(name: str, ip: str) -> None:
    addresses = [] if ip == "-" else [Address(ip, limits.PORT_DEFAULT)]
    async with open_lan(peer_of(name), addresses) as lan:
        print("open", flush=True)
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            match line.split():
                case ["await", count]:
                    with trio.fail_after(WAIT_S):
                        while len(lan.peers()) < int(count):
                            await trio.sleep(0.01)
                case ["await-not", count]:
                    with trio.fail_after(WAIT_S):
                        while len(lan.peers()) >= int(count):
                            await trio.sleep(0.01)
                case ["look"]:
                    await look(lan)
            print("done", flush=True)


async def look(lan: Lan) -> None:
    send, found = trio.open_memory_channel[Candidate](0)

    async def search() -> None:
        async with send:
            await lan.providers(digest_of(b"anything"), send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(search)
        async for candidate in found:
            print(f"{candidate.provider} via {candidate.via}", flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])

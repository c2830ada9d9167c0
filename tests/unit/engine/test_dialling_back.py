"""Where a node dials back to when it is asked whether somebody can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.engine.desk import ControlDesk
from p2phub.engine.serve import StoreShelf
from p2phub.engine.workers import Workers
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress
from p2phub.store.ledger import FileLedger
from p2phub.store.memory import MemoryStore
from p2phub.wire import Probe, Probed
from tests.support.covers import covers
from tests.support.hosts import key_of

ASKER = key_of("asker").peer_id


class NobodyThere:
    def __init__(self) -> None:
        self.dialled: list[PeerAddress] = []

    async def open_control(self, peer: PeerAddress) -> None:
        self.dialled.append(peer)
        raise PeerGone("refused")


@covers("T41")
@pytest.mark.parametrize(
    ("ip", "port", "dials"),
    [
        ("8.8.8.8", 4717, True),
        ("192.168.1.7", 4717, True),
        ("8.8.8.8", 25, False),
        ("8.8.8.8", 6379, False),
        ("224.0.0.1", 4717, False),
    ],
)
async def test_a_probe_is_dialled_back_where_it_came_from_but_at_no_port_of_other_servers(
    ip: str, port: int, dials: bool, tmp_path: Path
) -> None:
    ledger = FileLedger(tmp_path)
    desk = ControlDesk(StoreShelf(MemoryStore(), ledger), ledger, Workers())
    dialler = desk.dialler = NobodyThere()  # type: ignore[assignment]
    answered = await desk.answer(ASKER, Address(ip, 1234), Probe(port))
    assert isinstance(answered, Probed)
    assert not answered.reached
    assert dialler.dialled == ([PeerAddress(ASKER, Address(ip, port))] if dials else [])
    ledger.close()

"""What `doctor` says of being reached is what peers said who dialled back, and its advice fits what is switched on."""

from __future__ import annotations

from typing import Any

import pytest

from p2phub.engine.doctor import LAN_SWITCH, PEERS_ASKED, Finding, examine_reach
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress
from p2phub.wire import ControlAnswer, ControlRequest, Pong, Probe, Probed
from tests.support.hosts import key_of

PORT = 4717


@pytest.mark.parametrize("lan", [True, False])
async def test_who_knows_nobody_is_told_of_the_local_network_as_it_is_switched(lan: bool) -> None:
    nobody: Any = None
    [found] = await examine_reach(nobody, [], port=4717, daemon=True, lan=lan)
    assert not found["ok"]
    assert "--bootstrap" in found["hint"]
    assert (LAN_SWITCH in found["hint"]) is not lan


class Peers:
    """Peers, each with an answer of its own; None: nobody is there. Keeps who was asked, and for which port."""

    def __init__(self, answers: dict[str, ControlAnswer | None]) -> None:
        self.addresses = [PeerAddress(key_of(ip).peer_id, Address(ip, PORT)) for ip in answers]
        self.asked: dict[str, ControlRequest] = {}
        self.open = 0
        self._answers = answers

    async def open_control(self, peer: PeerAddress) -> Any:
        answer, peers = self._answers[peer.address.ip], self
        if answer is None:
            self.asked[peer.address.ip] = Probe(1)
            raise PeerGone("refused")
        self.open += 1

        class Control:
            async def ask(self, request: ControlRequest) -> ControlAnswer:
                peers.asked[peer.address.ip] = request
                return answer

            async def aclose(self) -> None:
                peers.open -= 1

        return Control()


async def examined(peers: Peers) -> dict[str, Finding]:
    dialler: Any = peers
    found = await examine_reach(dialler, peers.addresses, port=PORT, daemon=True, lan=True)
    assert not peers.open
    return {each["check"]: each for each in found}


@pytest.mark.parametrize("reached", [True, False])
async def test_whether_a_node_can_be_reached_is_what_a_peer_says_that_dialled_back(reached: bool) -> None:
    peers = Peers({"8.8.8.8": Probed("9.9.9.9", reached, "")})
    found = await examined(peers)
    assert peers.asked == {"8.8.8.8": Probe(PORT)}
    assert found["network"]["ok"]
    assert found["reachable"]["ok"] is reached
    assert "9.9.9.9" in found["reachable"]["detail"]
    assert f"{int(reached)} of 1 could dial back to port {PORT}" in found["reachable"]["detail"]
    assert (found["reachable"]["hint"] is None) is reached
    assert reached or f"forward TCP port {PORT} of your router" in found["reachable"]["hint"]


async def test_what_a_neighbour_reaches_is_not_called_reached_from_outside() -> None:
    near = Probed("192.168.1.7", True, "")
    found = await examined(Peers({"192.168.1.9": near}))
    assert found["reachable"]["ok"]
    assert "from there is not known" in found["reachable"]["detail"]
    found = await examined(Peers({"192.168.1.9": near, "8.8.8.8": Probed("9.9.9.9", False, "")}))
    assert not found["reachable"]["ok"]
    assert "0 of 1 could dial back" in found["reachable"]["detail"]


async def test_who_stands_outside_is_asked_before_neighbours_and_each_peer_once() -> None:
    near = {f"192.168.1.{number}": Probed("192.168.1.7", True, "") for number in range(10, 10 + PEERS_ASKED)}
    peers = Peers({**near, "8.8.8.8": Probed("9.9.9.9", True, "")})
    peers.addresses += [PeerAddress(peers.addresses[-1].peer, Address("8.8.4.4", PORT))]
    found = await examined(peers)
    assert len(peers.asked) == PEERS_ASKED
    assert "8.8.8.8" in peers.asked
    assert "1 of 1 could dial back" in found["reachable"]["detail"]


async def test_of_a_network_that_does_not_answer_nothing_is_said_but_that() -> None:
    found = await examined(Peers({"8.8.8.8": None, "8.8.4.4": Pong(), "1.1.1.1": Probed("no address", True, "")}))
    assert list(found) == ["network"]
    assert not found["network"]["ok"]
    assert "0 of the 3" in found["network"]["detail"]
    assert found["network"]["hint"]

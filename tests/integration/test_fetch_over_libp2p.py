"""Where no direct connection comes about, the same machines move a manifest over a libp2p stream."""

from __future__ import annotations

from pathlib import Path

from p2phub.discovery import Candidate
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.search import Search
from p2phub.identity import PeerAddress
from p2phub.net.fallback import Fallback
from p2phub.net.libp2p_host import open_host as open_libp2p
from p2phub.net.stream import PROTOCOL, open_streams
from p2phub.wire import Ping, Pong
from tests.support.hosts import FixedFinder, open_host
from tests.support.libp2p_nodes import ANY_PORT, ListenerPort, not_served, open_listener
from tests.support.models import make_safetensors_folder, tree_digest


async def test_a_model_arrives_over_a_libp2p_stream_when_the_port_takes_no_tls(tmp_path: Path) -> None:
    model = make_safetensors_folder(tmp_path / "model", 8 << 20, files=2, seed=5)
    async with (
        open_host(tmp_path / "a", "ann") as ann,
        open_host(tmp_path / "b", "bob") as bob,
        open_listener([ANY_PORT], not_served) as deaf,  # Refuses what begins as TLS does.
        open_libp2p(ann.key, ListenerPort(deaf)) as serving,
        open_libp2p(bob.key) as dialling,
        open_streams(serving.open_stream, ann.plane.links, ann.plane.reception) as served,
        open_streams(dialling.open_stream, bob.plane.links, bob.plane.reception) as streams,
    ):
        serving.on_stream(PROTOCOL, served.handle)
        published = await ann.publish(model)
        dialler = Fallback(bob.plane)
        dialler.streams = streams
        where = PeerAddress(ann.key.peer_id, deaf.addresses[0])

        control = await dialler.open_control(where)
        assert await control.ask(Ping()) == Pong()
        await control.aclose()

        async def no_finder() -> FixedFinder:
            return FixedFinder()

        done = await fetch(
            Wish(reference="test", manifest=published.manifest, destination=tmp_path / "out"),
            search=Search([Candidate(where, "direct")], no_finder),
            means=Means(dialler, bob.store, bob.workers, bob.key.peer_id),
            watch=bob.events.append,
        )
    assert tree_digest(tmp_path / "out") == tree_digest(model)
    assert [source.peer_id for source in done.sources] == [str(ann.key.peer_id)]

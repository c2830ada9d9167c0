"""What a node gives its mirrors: the caps that all it receives keeps to."""

from __future__ import annotations

from pathlib import Path

import trio

from p2phub import limits
from p2phub.identity import parse_mirror
from p2phub.net import Closed, Opened
from p2phub.node.compose import compose
from p2phub.node.config import load_config
from tests.support.content import Arriving, Published, content_of, random_files
from tests.support.web_server import put_mirror_files, serve


async def test_mirrors_keep_to_the_nodes_cap_on_receiving(tmp_path: Path) -> None:
    content = content_of(random_files(5, a=1_000_000), chunk_bytes=100_000)
    Published(content, tmp_path / "www")
    put_mirror_files(tmp_path / "www", content.blobs)
    config = load_config(home=tmp_path / "home", environment={"P2PHUB_LISTEN": "127.0.0.1:0", "P2PHUB_NO_LAN": "1"})
    with trio.fail_after(60), serve(tmp_path / "www") as server:
        async with compose(config, serving=False) as parts:
            down = parts.caps.down
            down.admit(content.root, limits.CAP_MIN)
            link = await parts.open_mirrors().open_link(parse_mirror(server.url), content.root, wants_manifest=True)
            assert isinstance(await link.next_report(), Opened)
            link.use(Arriving(content, tmp_path / "out").plan)
            link.grant(content.whole)
            while not down.is_pressed(content.root):
                await trio.sleep(0)
            link.close()
            while not isinstance(await link.next_report(), Closed):
                pass

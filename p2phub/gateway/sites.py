"""The sites of a hub that other programs know how to ask: what stands at the port of `node --gateway`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from p2phub import api
from p2phub.gateway.api_shelf import open_hub_shelf
from p2phub.gateway.app import App
from p2phub.gateway.oci.site import OciSite
from p2phub.gateway.uploads import open_uploads
from p2phub.gateway.upstream_shelf import UpstreamShelf
from p2phub.http.front import Site
from p2phub.http.guard import Door


@asynccontextmanager
async def gateway_sites(hub: api.Hub, door: Door) -> AsyncIterator[Mapping[str, Site]]:
    """Open them: `http.serving.OpenSites`."""
    async with AsyncExitStack() as stack:
        shelf = await stack.enter_async_context(open_hub_shelf(hub, allow_unsafe=hub.allow_unsafe))
        hub_too = shelf if hub.upstream is None else UpstreamShelf(shelf, hub)
        uploads = await stack.enter_async_context(open_uploads(hub)) if hub.gateway_uploads else None
        yield {"": App(hub_too, uploads), "v2": OciSite(shelf)}

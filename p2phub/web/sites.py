"""The sites of the page of a hub: "/" and "/-/…", opened with the node's port and closed with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from p2phub import api
from p2phub.http.front import Site
from p2phub.http.guard import Door
from p2phub.web.drafts import Drafts
from p2phub.web.files import Files, read_files
from p2phub.web.jobs import Jobs
from p2phub.web.models import Models
from p2phub.web.moving import Moving
from p2phub.web.page import Page
from p2phub.web.rows import Rows


@asynccontextmanager
async def page_sites(hub: api.Hub, door: Door) -> AsyncIterator[Mapping[str, Site]]:
    """Open them: `http.serving.OpenSites`."""
    files = await trio.to_thread.run_sync(read_files)
    async with open_page(hub, files) as page:
        yield {"/": page, "-": page}


@asynccontextmanager
async def open_page(hub: api.Hub, files: Files) -> AsyncIterator[Page]:
    """Open a page. Jobs that it began end with it."""
    async with trio.open_nursery() as nursery:
        jobs = Jobs(hub, nursery, clock=time.time)
        moving = Moving(hub, jobs)
        drafts = Drafts(hub, nursery)
        nursery.start_soon(moving.run)
        nursery.start_soon(drafts.tidy)
        yield Page(hub, files=files, jobs=jobs, moving=moving, models=Models(hub), rows=Rows(hub), drafts=drafts)
        nursery.cancel_scope.cancel()

"""Drafts: a version put together file by file, and published. Whoever asked for one writes its files, being of the same
user; here is what becomes of them.

`open_draft` lasts until `close_draft`, or until whoever asked goes away; meanwhile the draft is changed and published,
each by a call of its own. What is not published then is removed.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import trio

from p2phub.content import Codec, Digest, digest_of
from p2phub.engine.drafting import Draft, read_change
from p2phub.engine.publish import Order
from p2phub.errors import NotFound
from p2phub.identity import parse_peer_id
from p2phub.manifest import check_name
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.publishing import parents_of, published, sequence_elsewhere
from p2phub.observe import DraftOpened, Watch

_NUMBERS = itertools.count(1)


class OpenDraft(msgspec.Struct):
    """A draft that somebody writes. `room`: bytes that were asked for so far."""

    draft: Draft
    make_room: Callable[[int], Awaitable[None]]
    closed: trio.Event
    room: int = 0


async def open_draft(node: Running, watch: Watch, *, base: str | None = None) -> JsonObject:
    """Tell that a draft is open (DraftOpened), which begins with the files of `base`; return when it was closed. Raises
    HubError."""
    parts, number = node.parts, next(_NUMBERS)
    async with contextlib.AsyncExitStack() as stack:
        manifest = None if base is None else await parts.workers.run(lambda: parts.resolver.local(base))
        if manifest is not None:
            stack.enter_context(node.using(manifest))
            # By others, too: until it is recorded, nothing says that what is published needs its files.
            await stack.enter_async_context(node.in_use(manifest))
        held = None if manifest is None else await parts.workers.run(lambda: parts.store.whole(manifest))
        if manifest is not None and held is None:
            hint = f"fetch it first: p2phub pin {base}"
            raise NotFound(f"{base} is not held whole here, so no draft can begin with it", hint=hint)
        folder = await parts.workers.run(parts.store.open_draft)
        draft = Draft(folder, manifest, [] if held is None else held[1])
        del held
        try:
            async with node.keeping.room_for(_of(number)) as make_room:
                opened = node.drafts[number] = OpenDraft(draft, make_room, trio.Event())
                try:
                    shown = None if manifest is None else manifest.text(Codec.MSGPACK)
                    watch(DraftOpened(number, str(folder.folder), shown))
                    await opened.closed.wait()
                finally:
                    del node.drafts[number]
        finally:
            with trio.CancelScope(shield=True):
                async with draft.lock:  # Whoever publishes it comes to an end.
                    await parts.workers.run(folder.close)
    return {}


def _of(number: int) -> Digest:
    """Return what a draft's claim to room goes by: it has no manifest yet."""
    return digest_of(b"draft %d" % number)


async def close_draft(node: Running, watch: Watch, *, number: int) -> JsonObject:
    """Have the call that opened a draft return. Raises NotFound."""
    _opened(node, number).closed.set()
    return {}


async def draft_room(node: Running, watch: Watch, *, number: int, count: int) -> JsonObject:
    """Say that `count` bytes more will be written for a draft, or, below 0, that they will not. Raises DiskFull."""
    opened = _opened(node, number)
    room = max(0, opened.room + count)
    if count > 0:
        await node.parts.workers.run(lambda: opened.draft.folder.need_room(count))
        await opened.make_room(room)
    opened.room = room
    return {}


async def draft_change(node: Running, watch: Watch, *, number: int, changes: Sequence[object]) -> JsonObject:
    """Make changes, as `engine.drafting.read_change` reads them. Raises UsageError, NotFound, Malformed."""
    draft = _opened(node, number).draft
    made = [read_change(change) for change in changes]
    folders = [each.draft.folder.folder for each in node.drafts.values()]
    async with draft.lock:
        await node.parts.workers.run(lambda: draft.change(made, folders))
    return {}


async def draft_publish(
    node: Running,
    watch: Watch,
    *,
    number: int,
    name: str,
    tag: str,
    kind: str,
    description: str,
    licence: str,
    private: bool,
    allow: Sequence[str],
    include: Sequence[str],
    parents: Sequence[str] = (),
) -> JsonObject:
    """Publish what a draft has by now, as `publish` does a folder."""
    parts, began = node.parts, time.monotonic()
    check_name(name)
    check_name(tag, what="tag")
    draft = _opened(node, number).draft
    order = Order(
        folder=Path(),
        name=name,
        tag=tag,
        kind=kind,
        description=description,
        licence=licence,
        parents=await parents_of(node, parents, private=private),
        private=private,
        allow=tuple(parse_peer_id(peer) for peer in allow),
        include=tuple(include),
    )
    known = await sequence_elsewhere(node, name, tag) if not private else 0
    async with draft.lock:
        _opened(node, number)  # Still.
        outcome = await draft.publish(
            order,
            key=parts.publisher,
            store=parts.store,
            ledger=parts.ledger,
            workers=parts.workers,
            watch=watch,
            known_sequence=known,
        )
    parts.shelf.forget(outcome.manifest)
    return await published(node, outcome, began)


def _opened(node: Running, number: int) -> OpenDraft:
    """Raises NotFound for a draft that is not open."""
    opened = node.drafts.get(number)
    if opened is None or opened.closed.is_set():
        raise NotFound(f"no draft {number} is open here")
    return opened

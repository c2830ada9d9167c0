"""The same verbs for programs without trio: call, wait, get the result.

    import p2phub
    done = p2phub.fetch("12D3Koo…/minilm", into="./minilm", bootstrap=["/ip4/192.0.2.7/tcp/4717/p2p/12D3Koo…"])

Each call opens the hub of the home, runs the verb in a thread of its own and returns when it is done; so it works from
any thread and inside asyncio programs (which it blocks like any blocking call: use `asyncio.to_thread`). Ctrl-C ends
the verb cleanly. For several verbs, `blocking.open_hub` is the better door (`blocking_hub`). Options of all: `home`,
`bootstrap`, `lan` as for `open_hub`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar, Unpack

from p2phub.api.background import Background, Options
from p2phub.api.blocking_hub import BlockingHub, BlockingWeights
from p2phub.api.hub import Hub
from p2phub.api.verbs import JsonObject, unwatched
from p2phub.observe import Done, Published, Watch

T = TypeVar("T")


def publish(
    folder: str | Path,
    *,
    name: str,
    tag: str = "main",
    kind: str = "model",
    description: str = "",
    licence: str = "",
    watch: Watch = unwatched,
    **options: Unpack[Options],
) -> Published:
    """Hash `folder` in place, sign it as `name`, record it; a running daemon of the home announces it.

    Returns Published: reference, manifest and ticket as text, files, bytes, seconds. The files are only read. `kind`:
    one of `KINDS`. `watch` is told of PublishProgress, in another thread. `options`: home, bootstrap, lan, as for
    `open_hub`. Raises UsageError, ContentChanged, NotTrusted, DiskError; see `Hub.publish`.
    """
    return _run(
        options,
        lambda hub: hub.publish(
            folder, name=name, tag=tag, kind=kind, description=description, licence=licence, watch=watch
        ),
    )


def fetch(
    ref: str,
    *,
    into: str | Path | None = None,
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    force: bool = False,
    up: str | int | None = None,
    down: str | int | None = None,
    background: bool = False,
    first: Sequence[str] = (),
    in_order: bool = False,
    wait: str | float | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    tensors: Sequence[str] = (),
    columns: Sequence[str] = (),
    row_groups: Sequence[str | int] = (),
    allow_unsafe: bool | None = None,
    link: bool = False,
    watch: Watch = unwatched,
    **options: Unpack[Options],
) -> Done:
    """Fetch `ref` (a reference, manifest digest or ticket), or a part of it, into a folder; return when all of that is
    verified and durable.

    Returns Done: path, bytes received and reused, seconds, sources. `into`: by default a folder named after the
    reference, here. `providers`: multiaddrs that end in /p2p/PEER, asked first. `mirrors`: URLs of web servers that
    hold the files. `force` replaces files that differ. `up`, `down`: caps in bytes/s (20_000_000, "20MB", "20MiB");
    `background`: it gets what other fetches leave. `first`: gitignore patterns of files to fetch before all others, in
    this order; `in_order`: the rest from front to back. `wait`: for how long to wait while nobody is there who has
    it, in seconds or as "10m", "24h", "forever". `include`, `exclude`: gitignore patterns of files; `tensors`: shell
    patterns of tensors, which land in NAME.selected.safetensors or .gguf; `columns` and `row_groups` ("0-3") of Parquet
    files likewise, in NAME.selected.parquet. `allow_unsafe`: whether files that may run code when they are loaded are
    put in place, too. `link`: what is here already gets a further name in place of a copy, so an edit changes both.
    `watch` is told of each event, in another thread. `options`: home, bootstrap, lan, as for `open_hub`.
    Interrupted or failed, the same call resumes. Raises UsageError, NotFound, NotTrusted, of it Unsafe, NoProvider,
    Damaged, ChunkMismatch, DiskError, of it DiskFull and Occupied; see `Hub.fetch`.
    """
    return _run(
        options,
        lambda hub: hub.fetch(
            ref,
            into=into,
            providers=providers,
            mirrors=mirrors,
            force=force,
            up=up,
            down=down,
            background=background,
            first=first,
            in_order=in_order,
            wait=wait,
            include=include,
            exclude=exclude,
            tensors=tensors,
            columns=columns,
            row_groups=row_groups,
            allow_unsafe=allow_unsafe,
            link=link,
            watch=watch,
        ),
    )


def info(ref: str, *, providers: Sequence[str] = (), tensors: bool = False, **options: Unpack[Options]) -> JsonObject:
    """Return what is known of `ref`: {"reference", "manifest", "release", "held", "files", …}; sizes in bytes.

    `providers`: multiaddrs that end in /p2p/PEER, asked first. `tensors`: with the names, dtypes and shapes of its
    tensors. `options`: home, bootstrap, lan, as for `open_hub`. Raises UsageError, Malformed, NotFound, NotTrusted,
    DiskError; see `Hub.info`.
    """
    return _run(options, lambda hub: hub.info(ref, providers=providers, tensors=tensors))


def ls(**options: Unpack[Options]) -> list[JsonObject]:
    """Return what this home holds and publishes, an object a manifest; sizes in bytes.

    `options`: home, bootstrap, lan, as for `open_hub`. Raises UsageError, NotTrusted, DiskError; see `Hub.ls`.
    """
    return _run(options, lambda hub: hub.ls())


def search(
    words: str,
    *,
    kind: str | None = None,
    held: bool = False,
    limit: int = 30,
    cursor: int | None = None,
    **options: Unpack[Options],
) -> JsonObject:
    """Return what this home holds or has seen that has these words, the last of them perhaps unfinished, the best
    first: {"items", "cursor", "total", "complete"}; sizes in bytes.

    `kind`: one of `KINDS` alone; `held`: what is held alone. `cursor`: as the page before gave it. `options`: home,
    bootstrap, lan, as for `open_hub`. Raises UsageError, NotTrusted, DiskError; see `Hub.search`.
    """
    return _run(options, lambda hub: hub.search(words, kind=kind, held=held, limit=limit, cursor=cursor))


def verify(
    ref: str,
    *,
    repair: bool = False,
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    allow_unsafe: bool | None = None,
    watch: Watch = unwatched,
    **options: Unpack[Options],
) -> JsonObject:
    """Read a held manifest (a reference, or the folder it stands in) back and compare every chunk.

    Returns {"manifest", "folder", "files", "bytes", "damaged": [{"path", "chunks", "reason"}], …}; damage is returned,
    not raised. `repair`: replace what is damaged, if it was fetched by us; `providers`, `mirrors` and, for what is
    missing, `allow_unsafe` as for `fetch`. `watch` is told of each event, in another thread. `options`: home,
    bootstrap, lan, as for `open_hub`. Raises NotFound, UsageError, NotTrusted, DiskError, and to repair what `fetch`
    raises; see `Hub.verify`.
    """
    return _run(
        options,
        lambda hub: hub.verify(
            ref, repair=repair, providers=providers, mirrors=mirrors, allow_unsafe=allow_unsafe, watch=watch
        ),
    )


def pin(
    ref: str,
    *,
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    allow_unsafe: bool | None = None,
    watch: Watch = unwatched,
    **options: Unpack[Options],
) -> JsonObject:
    """Keep `ref` from collection; what is not held whole is fetched into the home's own store.

    Returns {"manifest", "folder", "fetched"}. `providers`, `mirrors` and `allow_unsafe` as for `fetch`. `watch` is told
    of each event, in another thread. `options`: home, bootstrap, lan, as for `open_hub`. Raises what `fetch` raises:
    UsageError, NotFound, NotTrusted, of it Unsafe, NoProvider, Damaged, DiskError, of it DiskFull where the quota
    leaves no room; see `Hub.pin`.
    """
    return _run(
        options,
        lambda hub: hub.pin(ref, providers=providers, mirrors=mirrors, allow_unsafe=allow_unsafe, watch=watch),
    )


def unpin(ref: str, **options: Unpack[Options]) -> JsonObject:
    """Let a pinned manifest be collected again.

    Returns {"manifest"}. `options`: home, bootstrap, lan, as for `open_hub`. Raises NotFound if it is not pinned,
    UsageError, NotTrusted, DiskError; see `Hub.unpin`.
    """
    return _run(options, lambda hub: hub.unpin(ref))


def gc(*, dry_run: bool = False, unfinished: bool = False, **options: Unpack[Options]) -> JsonObject:
    """Remove what nothing keeps, never what stands in a folder of the user's; with `dry_run` only tell of it.

    Returns {"bytes", "items", "leftovers", "unfinished", "blobs", …}. `unfinished`: what fetches that did not end left,
    too. `options`: home, bootstrap, lan, as for `open_hub`. Raises UsageError, NotTrusted, DiskError; see `Hub.gc`.
    """
    return _run(options, lambda hub: hub.gc(dry_run=dry_run, unfinished=unfinished))


def du(**options: Unpack[Options]) -> JsonObject:
    """Return what is held and what it takes, all in bytes: {"items", "by_origin", "bytes", "bytes_content", …}.

    `options`: home, bootstrap, lan, as for `open_hub`. Raises UsageError, NotTrusted, DiskError; see `Hub.du`.
    """
    return _run(options, lambda hub: hub.du())


def open_hub(**options: Unpack[Options]) -> BlockingHub:
    """Open the hub of a home, in a thread of its own, until it is closed: `with blocking.open_hub() as hub`.

    `options`: home, bootstrap, lan, as for `Hub`'s `open_hub`. Raises UsageError, NotTrusted, DiskError.
    """
    return BlockingHub(**options)


def safe_open(
    ref: str,
    path: str = "model.safetensors",
    *,
    framework: str = "numpy",
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    wait: str | float | None = None,
    watch: Watch = unwatched,
    **options: Unpack[Options],
) -> BlockingWeights:
    """Open a safetensors file of `ref` that need not be here, as `safetensors.safe_open` opens one that is:
    `with p2phub.safe_open(ref) as weights: rows = weights.get_slice(name)[100:200]`.

    Returns BlockingWeights: keys, metadata, get_tensor, get_slice. Only the header and the bytes of what is asked for
    are fetched, into the home's own store. `path`: a file, or one that is cut into shards, which its index beside it
    names. `framework`: "numpy" (of BF16 the bits, as uint16), or "torch". `providers`, `mirrors`, `wait` (seconds, or a
    text) and `watch` as for `fetch`. `options`: home, bootstrap, lan, as for `open_hub`. Raises UsageError, NotFound,
    NotTrusted, NoProvider, Damaged, of it Malformed for a file that is not safetensors, DiskError; see `Hub.safe_open`.
    """
    hub = BlockingHub(**options)
    try:
        return hub.safe_open(
            ref, path, framework=framework, providers=providers, mirrors=mirrors, wait=wait, watch=watch
        ).owning_hub()
    except BaseException:
        hub.close()
        raise


def _run(options: Options, verb: Callable[[Hub], Awaitable[T]]) -> T:
    for name in options:
        if name not in Options.__annotations__:
            from difflib import get_close_matches  # Only a mistake needs it.

            meant = get_close_matches(name, Options.__annotations__, n=1)
            raise TypeError(f"there is no argument {name!r}" + (f"; do you mean {meant[0]!r}?" if meant else ""))
    with Background(**options) as background:
        return background.call(verb)


__all__ = [
    "BlockingHub",
    "Options",
    "du",
    "fetch",
    "gc",
    "info",
    "ls",
    "open_hub",
    "pin",
    "publish",
    "safe_open",
    "search",
    "unpin",
    "verify",
]

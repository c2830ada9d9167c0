"""iroh-blobs' part: `python -m benchmarks.programs.iroh WHAT ...`.

`seed ROOT STORE` takes the files into a new store by reference and prints a ticket; `fetch TICKET STORE INTO` downloads
into a new store, and exports from it. iroh verifies while it downloads (BLAKE3 trees).
"""

import asyncio
import importlib
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

_LOOPBACK, _LOOPBACK_6 = "127.0.0.1:0", "[::1]:0"


def main() -> None:
    """Do what the first argument says."""
    what, *arguments = sys.argv[1:]
    programs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"seed": _seed, "fetch": _fetch}
    asyncio.run(programs[what](*arguments))


async def _seed(root: str, store: str) -> None:
    iroh = _iroh()
    node = await _node(iroh, store)
    collection = iroh.Collection()
    for path in _files(root):
        hashes: list[Any] = []
        await node.blobs().add_from_path(
            str(path),
            True,  # in place
            iroh.SetTagOption.auto(),
            iroh.WrapOption.no_wrap(),
            _added(iroh, hashes),
        )
        [digest] = hashes
        collection.push(str(path.relative_to(root)), digest)
    made = await node.blobs().create_collection(collection, iroh.SetTagOption.auto(), [])
    ticket = await node.blobs().share(made.hash, iroh.BlobFormat.HASH_SEQ, iroh.AddrInfoOptions.ADDRESSES)
    print(ticket, flush=True)
    await asyncio.Event().wait()


async def _fetch(ticket_text: str, store: str, into: str) -> None:
    iroh = _iroh()
    node = await _node(iroh, store)
    ticket = iroh.BlobTicket(ticket_text)
    await node.blobs().download(ticket.hash(), ticket.as_download_options(), _downloading(iroh))
    await node.blobs().export(ticket.hash(), into, iroh.BlobExportFormat.COLLECTION, iroh.BlobExportMode.TRY_REFERENCE)
    await node.node().shutdown()


def _files(root: str) -> list[Path]:
    return sorted(path for path in Path(root).rglob("*") if path.is_file())


async def _node(iroh: Any, store: str) -> Any:
    iroh.iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())
    options = iroh.NodeOptions(ipv4_addr=_LOOPBACK, ipv6_addr=_LOOPBACK_6, node_discovery=iroh.NodeDiscoveryConfig.NONE)
    return await iroh.Iroh.persistent_with_options(store, options)


def _added(iroh: Any, hashes: list[Any]) -> Any:
    """Return a callback that keeps the digest of what was added."""

    class Added(iroh.AddCallback):  # type: ignore[misc]  # the module is only there when this runs
        async def progress(self, progress: Any) -> None:
            if progress.type() == iroh.AddProgressType.ABORT:
                sys.exit(str(progress.as_abort().error))
            if progress.type() == iroh.AddProgressType.ALL_DONE:
                hashes.append(progress.as_all_done().hash)

    return Added()


def _downloading(iroh: Any) -> Any:
    """Return a callback that ends the program when the download is given up."""

    class Downloading(iroh.DownloadCallback):  # type: ignore[misc]  # as above
        async def progress(self, progress: Any) -> None:
            if progress.type() == iroh.DownloadProgressType.ABORT:
                sys.exit(str(progress.as_abort().error))

    return Downloading()


def _iroh() -> Any:
    # By name: it is installed for the benchmark only, in a directory that the driver puts on the path.
    return importlib.import_module("iroh")


if __name__ == "__main__":
    main()

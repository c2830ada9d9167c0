"""Write a GGUF file that is here into Ollama's store, so that `ollama run HOST/NAMESPACE/MODEL:TAG` finds it.

    STORE/blobs/sha256-<hex>                        the GGUF, its config, and what comes with it
    STORE/manifests/HOST/NAMESPACE/MODEL/TAG        JSON that names them
    STORE/.p2phub-new-<uid>/                        ours, while we are at it (materialise.staging)

What stands in config and manifest: `manifest.ollama`. The order: blobs, each whole and durable, then the
manifest. Ollama removes at its start what no manifest names, so the manifest follows at once, and the blobs are looked
at once more when it stands. Nothing that stands there is replaced. A newer Ollama reads `manifests-v2/` first: what has
this name there is in the way as well.
Source: ollama/ollama (`types/model/name.go`, `manifest/`, `server/images.go`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from p2phub import limits
from p2phub.errors import ContentChanged, Malformed, Occupied, UsageError
from p2phub.formats import GgufFacts, gguf_facts, looks_like_gguf
from p2phub.manifest import OllamaKind as Kind
from p2phub.manifest import OllamaPart as Part
from p2phub.manifest import ollama_image
from p2phub.store.clone import How, never
from p2phub.store.disk import ONE_BY_ONE_MAX, Disk, disk_errors, read_regular
from p2phub.store.folders import Tree, open_destination
from p2phub.store.materialise.placer import Placer
from p2phub.store.materialise.source import Linked, Source, tell_nobody
from p2phub.store.materialise.staging import Staging

OUR_HOST = "p2phub"  # Not the public registry's: nobody else answers to such a name.
_NAME = re.compile(
    r"(?P<host>[A-Za-z0-9_][\w.:-]{0,254})/(?P<namespace>[A-Za-z0-9_][\w-]{0,79})"
    r"/(?P<model>[A-Za-z0-9_][\w.-]{0,79}):(?P<tag>[A-Za-z0-9_][\w.-]{0,79})",
    re.ASCII,
)
_KINDS = ("skill", "agent", "mcp")  # In the place of a namespace Ollama reads them as something else.


def full_name(name: str) -> str:
    """Return `name`, NAMESPACE/MODEL or all of it, with our host and the tag `latest` where it says neither.

    Raises UsageError for what Ollama would not take as a name.
    """
    called = name if name.count("/") == 2 else f"{OUR_HOST}/{name}"
    called = called if ":" in called.rpartition("/")[2] else f"{called}:latest"
    _parts_of(called)
    return called


def _parts_of(name: str) -> tuple[str, ...]:
    """Return host, namespace, model and tag. Raises UsageError."""
    match = _NAME.fullmatch(name)
    if match is None or match["namespace"] in _KINDS:
        raise UsageError(
            f"{name!r} cannot be a model's name in Ollama",
            hint="name it as NAMESPACE/MODEL, NAMESPACE/MODEL:TAG or HOST/NAMESPACE/MODEL:TAG",
        )
    return match.group("host", "namespace", "model", "tag")


def export(
    disk: Disk,
    store: Path,
    name: str,
    gguf: Source,
    *,
    beside: Sequence[tuple[Kind, Source]] = (),
    link: bool = False,
    stopped: Callable[[], bool] = never,
    linked: Linked = tell_nobody,
) -> Path:
    """Have Ollama's `store` hold a model under `name`, "HOST/NAMESPACE/MODEL:TAG"; return its manifest. Blocks.

    `beside`: what comes with it, as `given_with_gguf` has it. `link`: files may become blobs by a hard link, else they
    are cloned or copied; `linked` is told of each. Ollama sets the times of blobs that it uses again: a linked file may
    look changed.
    What kind of model it is, is read from its header, as far as that says it.
    Raises UsageError for a name that cannot be or a file that is no GGUF; Occupied for what stands there and is
    something else, or for another process of ours; ContentChanged, DiskFull, DiskError; Stopped.
    """
    path = "/".join(_parts_of(name))
    with disk_errors(f"write to {store}"), contextlib.ExitStack() as stack:
        facts = _facts_of(gguf)
        store_fd, _ = open_destination(disk, Path(os.path.realpath(store)))
        stack.callback(os.close, store_fd)
        staging = Staging(disk, store_fd, store)
        stack.callback(staging.close)
        tree = Tree(disk, store_fd)
        stack.callback(tree.close)
        if tree.status(f"manifests-v2/{path}") is not None:
            raise _in_the_way(store / "manifests-v2" / path)
        placer = Placer(disk, staging, tree, store, how=How.LINK if link else How.CLONE, stopped=stopped, linked=linked)
        files: list[tuple[Kind, Source]] = [("model", gguf), *beside]
        layers = [Part(kind, file.sha256.hex(), file.size) for kind, file in files]
        image = ollama_image(facts, layers)
        placer.bring((_blob(file.sha256), file) for _, file in files)
        placer.put(_blob(bytes.fromhex(image.config_sha256)), image.config)
        _write_manifest(disk, staging, tree, store, f"manifests/{path}", image.manifest)
        for digest in (*(layer.sha256 for layer in layers), image.config_sha256):
            if tree.status(_blob(bytes.fromhex(digest))) is None:
                raise ContentChanged(
                    f"Ollama removed what was just written to {store / 'blobs'}", hint="run the same command again"
                )
    return store / "manifests" / path


def _write_manifest(disk: Disk, staging: Staging, tree: Tree, store: Path, path: str, data: bytes) -> None:
    made = staging.write(data)
    folder, name = tree.place(path, make=True)
    try:
        disk.rename_new(made, name, source_fd=staging.fd, target_fd=folder)
    except FileExistsError:
        if read_regular(name, len(data) + 1, dir_fd=folder) != data:
            raise _in_the_way(store / path) from None
    tree.note(path)
    tree.flush(one_by_one_max=ONE_BY_ONE_MAX)


def _in_the_way(path: Path) -> Occupied:
    return Occupied(
        f"{path} is another model, and is not replaced", hint="choose another name, or remove it: ollama rm"
    )


def _blob(digest: bytes) -> str:
    return f"blobs/sha256-{digest.hex()}"


def _facts_of(gguf: Source) -> GgufFacts | None:
    """Return what the file says it is; None if its header breaks a rule: Ollama may know better. Raises UsageError."""
    assert gguf.open is not None, "a file that is not here cannot be exported"
    file = gguf.open()

    def read(offset: int, length: int) -> bytes:
        data = os.pread(file.descriptor, length, offset)
        if len(data) != length:  # Shorter than it was; a regular file gives all that there is.
            raise ContentChanged(f"{gguf.path} became shorter while it was read")
        return data

    try:
        if not looks_like_gguf(read(0, min(gguf.size, limits.KIB))):
            raise UsageError(f"{gguf.path} is no GGUF file, and Ollama's store takes no other from p2phub")
        return gguf_facts(gguf.size, read)
    except Malformed:
        return None
    finally:
        file.close()

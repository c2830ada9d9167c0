"""Write a GGUF file that is here into Ollama's store, so that `ollama run HOST/NAMESPACE/MODEL:TAG` finds it.

    STORE/blobs/sha256-<hex>                        the GGUF, its config, and what comes with it
    STORE/manifests/HOST/NAMESPACE/MODEL/TAG        JSON that names them
    STORE/.p2phub-new-<uid>/                        ours, while we are at it (materialise.staging)

The order: blobs, each whole and durable, then the manifest. Ollama removes at its start what no manifest names, so the
manifest follows at once, and the blobs are looked at once more when it stands. Nothing that stands there is replaced; a
manifest only with `force`. A newer Ollama reads `manifests-v2/` first: what has this name there is in the way as well.
Source: ollama/ollama (`types/model/name.go`, `manifest/`, `server/images.go`, `types/model/config.go`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from p2phub import limits
from p2phub.errors import ContentChanged, Malformed, Occupied, UsageError
from p2phub.formats import GgufFacts, gguf_facts, looks_like_gguf
from p2phub.store.clone import How, never
from p2phub.store.disk import Disk, disk_errors, read_regular
from p2phub.store.folders import Tree, open_destination
from p2phub.store.materialise.placer import ONE_BY_ONE_MAX, Placer
from p2phub.store.materialise.source import Linked, Source, tell_nobody
from p2phub.store.materialise.staging import Staging

Text = Literal["template", "system", "params", "license", "messages"]
"""What may come with a model, as Ollama calls it: a template in Go's language, a system prompt, JSON of parameters."""

OUR_HOST = "p2phub"  # Not the public registry's: nobody else answers to such a name.
UNKNOWN = "unknown"
_MEDIA = "application/vnd.ollama.image."
_NAME = re.compile(
    r"(?P<host>[A-Za-z0-9_][\w.:-]{0,254})/(?P<namespace>[A-Za-z0-9_][\w-]{0,79})"
    r"/(?P<model>[A-Za-z0-9_][\w.-]{0,79}):(?P<tag>[A-Za-z0-9_][\w.-]{0,79})",
    re.ASCII,
)
_KINDS = ("skill", "agent", "mcp")  # In the place of a namespace Ollama reads them as something else.


class _Layer(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    digest: str
    size: int


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str
    config: _Layer
    layers: list[_Layer]


class _RootFs(msgspec.Struct, frozen=True):
    type: str
    diff_ids: list[str]


class _Config(msgspec.Struct, frozen=True):
    model_format: str
    model_family: str
    model_families: list[str]
    model_type: str  # How many parameters, in words.
    file_type: str
    architecture: str  # Of the machine: an image says one, and Ollama always this.
    os: str
    rootfs: _RootFs


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
    projector: Source | None = None,
    texts: Mapping[Text, bytes] | None = None,
    link: bool = False,
    force: bool = False,
    stopped: Callable[[], bool] = never,
    linked: Linked = tell_nobody,
) -> Path:
    """Have Ollama's `store` hold a model under `name`, "HOST/NAMESPACE/MODEL:TAG"; return its manifest. Blocks.

    `projector`: the GGUF of a model that sees. `link`: files may become blobs by a hard link, else they are cloned or
    copied; `linked` is told of each. Ollama sets the times of blobs that it uses again: a linked file may look changed.
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
        files = [("model", gguf)] if projector is None else [("model", gguf), ("projector", projector)]
        small = {kind: (texts or {})[kind] for kind in sorted(texts or {})}
        layers = [_layer(_MEDIA + kind, file.sha256, file.size) for kind, file in files]
        layers += [_layer(_MEDIA + kind, sha256(data).digest(), len(data)) for kind, data in small.items()]
        config = msgspec.json.encode(_config(facts, layers))
        config_layer = _layer("application/vnd.docker.container.image.v1+json", sha256(config).digest(), len(config))
        placer.bring((_blob(file.sha256), file) for _, file in files)
        for data in (*small.values(), config):
            placer.put(_blob(sha256(data).digest()), data)
        media = "application/vnd.docker.distribution.manifest.v2+json"
        _write_manifest(
            disk,
            staging,
            tree,
            store,
            f"manifests/{path}",
            msgspec.json.encode(_Manifest(2, media, config_layer, layers)),
            force=force,
        )
        for layer in (*layers, config_layer):
            if tree.status(f"blobs/{layer.digest.replace(':', '-')}") is None:
                raise ContentChanged(
                    f"Ollama removed what was just written to {store / 'blobs'}", hint="run the same command again"
                )
    return store / "manifests" / path


def _write_manifest(
    disk: Disk, staging: Staging, tree: Tree, store: Path, path: str, data: bytes, *, force: bool
) -> None:
    made = staging.write(data)
    folder, name = tree.place(path, make=True)
    if force:
        disk.replace(made, name, source_fd=staging.fd, target_fd=folder)
    else:
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


def _layer(media_type: str, digest: bytes, size: int) -> _Layer:
    return _Layer(media_type, f"sha256:{digest.hex()}", size)


def _config(facts: GgufFacts | None, layers: list[_Layer]) -> _Config:
    family = (facts and facts.architecture) or UNKNOWN
    return _Config(
        model_format="gguf",
        model_family=family,
        model_families=[family],
        model_type=_count(facts.parameters) if facts is not None else UNKNOWN,
        file_type=(facts and facts.file_type) or UNKNOWN,
        architecture="amd64",
        os="linux",
        rootfs=_RootFs("layers", [layer.digest for layer in layers]),
    )


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


def _count(parameters: int) -> str:
    """Return a number as Ollama says it: 1.1B, 22.57M, 310K."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2)):
        if parameters >= unit:
            return f"{parameters / unit:.{0 if parameters % unit == 0 else digits}f}{letter}"
    return f"{parameters / 1000:.0f}K" if parameters >= 1000 else str(parameters)

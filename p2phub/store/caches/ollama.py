"""Read Ollama's models: manifests/HOST/NAMESPACE/MODEL/TAG names layers, blobs/sha256-HEX are their bytes.

Newer versions keep `manifests-v2/` too, whose entries are links to manifests kept as blobs; it is read first, and what
`manifests/` says again of the same model is passed over. The layers with weights are files that stand alone: the GGUF
itself, a projector, an adapter. Templates, parameters and licences are Ollama's own; the tensors of a model that it
keeps tensor by tensor are no files that anybody else has.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from p2phub import limits
from p2phub.content import has_controls
from p2phub.errors import Damaged, HubError, Malformed
from p2phub.manifest import check_path
from p2phub.store.caches.found import CachedFile, CachedModel, Claim, Report, in_order
from p2phub.store.caches.links import Links, entries_of, open_folder
from p2phub.store.caches.listing import Size
from p2phub.store.disk import read_regular
from p2phub.store.folders import LeavesFolder, NotAFile, fingerprint

SCHEMA_VERSION = 2
MANIFESTS = ("manifests-v2", "manifests")
_DEPTH = 4  # HOST, NAMESPACE, MODEL, TAG.
_KIND = "application/vnd.ollama.image."
_WEIGHTS = {f"{_KIND}model": "", f"{_KIND}projector": "-projector", f"{_KIND}adapter": "-adapter"}
_TENSORS = "a tensor of a model that Ollama keeps tensor by tensor"

_Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class _Layer(msgspec.Struct, frozen=True, rename="camel"):
    media_type: Annotated[str, msgspec.Meta(max_length=200)]
    digest: _Digest
    size: Size


class _Versioned(msgspec.Struct, rename="camel"):
    schema_version: int
    layers: msgspec.Raw = msgspec.Raw()


def scan_ollama(root: Path, report: Report) -> None:
    """Report each tag of each model below `root`. Raises OSError if it cannot be read, Stopped."""
    real = os.path.realpath(root)
    links = Links(real)
    told: set[tuple[str, tuple[_Layer, ...]]] = set()
    with open_folder(root, flags=os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as root_fd:
        for kind in MANIFESTS:
            told_before = frozenset(told)
            for parts in _tags(root_fd, root, kind, report):
                at = root.joinpath(kind, *parts)
                host, namespace, model, tag = parts
                name = f"{host}/{namespace}/{model}:{tag}"
                try:
                    if has_controls(name):
                        raise Damaged("its name is no text")
                    layers = _layers(links, os.path.join(real, kind, *parts[:-1]), tag)
                except FileNotFoundError:
                    continue  # Removed since we looked; or a link to a manifest that is gone.
                except (OSError, HubError) as exc:
                    report.problem(at, exc)
                    continue
                # The public host has another name in newer manifests, so it is not compared.
                same = (name.partition("/")[2], layers)
                if same not in told_before:
                    told.add(same)
                    report.models.append(_model(root, real, name, f"{model}-{tag}", layers, links, report))


def _tags(root_fd: int, root: Path, kind: str, report: Report) -> Iterator[tuple[str, ...]]:
    """Yield (host, namespace, model, tag) of what lies four deep in the folder `kind`. Folders that are links are not
    entered."""
    try:
        with open_folder(kind, dir_fd=root_fd) as fd:
            yield from _below(fd, (), root / kind, report)
    except FileNotFoundError:
        return
    except OSError as exc:
        report.problem(root / kind, exc)


def _below(fd: int, parts: tuple[str, ...], at: Path, report: Report) -> Iterator[tuple[str, ...]]:
    for entry in entries_of(fd):
        report.go_on()
        here = (*parts, entry.name)
        if len(here) == _DEPTH:
            if not entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield here
        elif entry.is_dir(follow_symlinks=False):
            try:
                with open_folder(entry.name, dir_fd=fd) as below:
                    yield from _below(below, here, at / entry.name, report)
            except FileNotFoundError:
                continue
            except OSError as exc:
                report.problem(at / entry.name, exc)


def _layers(links: Links, folder: str, tag: str) -> tuple[_Layer, ...]:
    """Return the layers that a manifest names. Raises OSError, LeavesFolder, NotAFile, Damaged."""
    most = limits.CACHE_MANIFEST_BYTES_MAX
    data = read_regular(links.follow(folder, tag).place, most + 1)
    if len(data) > most:
        raise Damaged(f"a manifest of more than {most} bytes")
    try:
        outer = msgspec.json.decode(data, type=_Versioned)
        if outer.schema_version != SCHEMA_VERSION:
            raise Damaged(
                f"a manifest of schema version {outer.schema_version}; {SCHEMA_VERSION} is known here:"
                " made by a newer Ollama?"
            )
        return tuple(msgspec.json.decode(outer.layers or b"null", type=list[_Layer]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Damaged(f"not a manifest: {exc}") from exc


def _model(
    root: Path, real: str, name: str, stem: str, layers: tuple[_Layer, ...], links: Links, report: Report
) -> CachedModel:
    files: list[CachedFile] = []
    missing: list[str] = []
    left_out: list[tuple[str, str]] = []
    others: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    for layer in layers:
        kind = _WEIGHTS.get(layer.media_type)
        if kind is None:
            others[layer.media_type] += 1
            continue
        paths[kind] += 1
        number = "" if paths[kind] == 1 else f"-{paths[kind]}"
        path = f"{stem}{kind}{number}.gguf"
        digest = layer.digest.removeprefix("sha256:")
        try:
            check_path(path)
            led = links.follow(os.path.join(real, "blobs"), f"sha256-{digest}")
        except Malformed as exc:
            left_out.append((path, exc.what))
        except FileNotFoundError:
            missing.append(path)
        except (OSError, LeavesFolder, NotAFile) as exc:
            missing.append(path)
            report.problem(root / "blobs" / f"sha256-{digest}", exc)
        else:
            if led.status.st_size != layer.size:
                missing.append(path)
                why = f"{led.status.st_size} bytes; the manifest of {name} says {layer.size}"
                report.problem(root / "blobs" / f"sha256-{digest}", why)
                continue
            files.append(CachedFile(path, Path(led.place), fingerprint(led.status), Claim(bytes.fromhex(digest))))
    for media_type, count in others.items():
        what = _TENSORS if media_type == f"{_KIND}tensor" else "not weights"
        left_out.append((media_type, what if count == 1 else f"{what} ({count} of them)"))
    return CachedModel(
        cache="ollama",
        name=name,
        revision=None,
        folder=root,
        files=in_order(files),
        missing=tuple(sorted(missing, key=str.encode)),
        complete=False,
        left_out=tuple(left_out),
    )

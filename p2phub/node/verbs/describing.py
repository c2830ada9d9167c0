"""What a reference is, and how two of them differ, without fetching either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p2phub.content import Codec, Digest, decode_lists
from p2phub.engine import fetch as engine
from p2phub.engine.assembly import Assembly
from p2phub.engine.describe import describe
from p2phub.engine.difference import Described, FileChange, TensorChange, compare
from p2phub.engine.layouts import keep_layouts, known_layouts
from p2phub.engine.resolve import Resolved
from p2phub.engine.search import Search
from p2phub.errors import HubError
from p2phub.formats import Layout, Span
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.manifest import Manifest, Release, read_release
from p2phub.node.compose import Parts
from p2phub.node.releases import contradiction_json, release_json
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch
from p2phub.store import Holding


async def info(node: Running, watch: Watch, *, ref: str, providers: Sequence[str], tensors: bool = False) -> JsonObject:
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    resolved = await parts.resolver.resolve(ref, given)
    manifest, why = await described(node, resolved, given)
    layouts, layouts_unknown = None, None
    if tensors and manifest is not None:
        layouts, layouts_unknown = await _layouts(node, resolved, given, manifest)
    held, evidence = await parts.workers.run(
        lambda: (node.held(resolved.manifest), evidence_about(parts, resolved.release))
    )
    return {
        "reference": ref,
        "manifest": resolved.manifest.text(Codec.MSGPACK),
        "release": release_shown(resolved, evidence),
        "contradiction": contradiction_json(evidence),
        "held": _held_json(held[0]) if held else None,
        "files": None
        if manifest is None
        else [
            {
                "path": entry.path,
                "size": entry.size,
                "sha256": entry.sha256.hex(),
                "git_sha1": None if entry.git_sha1 is None else entry.git_sha1.hex(),
                "chunks": entry.chunks,
            }
            for entry in manifest.files
        ],
        "files_unknown_because": why,
        "tensors": None if layouts is None else _tensors_json(layouts),
        "tensors_unknown_because": layouts_unknown,
    }


async def diff(node: Running, watch: Watch, *, before: str, after: str, providers: Sequence[str]) -> JsonObject:
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    sides: list[Described] = []
    manifests: list[Digest] = []
    unknown: str | None = None
    for ref in (before, after):
        resolved = await parts.resolver.resolve(ref, given)
        assembly = await describe(
            resolved.manifest, search=search_of_peers(node, resolved, given), means=means_to_describe(parts), lists=True
        )
        manifest = await parts.workers.run(assembly.manifest)
        layouts, why = await _layouts(node, resolved, given, manifest)
        sides.append(await parts.workers.run(lambda: _described(assembly, layouts or {})))  # noqa: B023  # Awaited.
        manifests.append(resolved.manifest)
        unknown = unknown or why
    found = await parts.workers.run(lambda: compare(*sides))
    return {
        "before": manifests[0].text(Codec.MSGPACK),
        "after": manifests[1].text(Codec.MSGPACK),
        "files": [_file_change_json(change) for change in found.files],
        "files_same": found.files_same,
        "tensors": None if unknown else [_tensor_change_json(change) for change in found.tensors],
        "tensors_same": None if unknown else found.tensors_same,
        "tensors_unknown_because": unknown,
        "bytes_new": found.bytes_new,
        "bytes_after": found.bytes_after,
    }


async def described(
    node: Running, resolved: Resolved, given: Sequence[PeerAddress]
) -> tuple[Manifest | None, str | None]:
    """Return what was resolved, from here or from a peer; None and why where nobody tells, but a publisher says at
    least that there is such a thing. Raises HubError where not even that is known."""
    parts = node.parts
    manifest = await parts.workers.run(lambda: node.manifest_of(resolved.manifest))
    if manifest is not None:
        return manifest, None
    try:
        found = await describe(
            resolved.manifest, search=search_of_peers(node, resolved, given), means=means_to_describe(parts)
        )
        return await parts.workers.run(found.manifest), None
    except HubError as error:
        if resolved.release is None:
            raise
        return None, error.message


async def _layouts(
    node: Running, resolved: Resolved, given: Sequence[PeerAddress], manifest: Manifest
) -> tuple[dict[str, Layout] | None, str | None]:
    """Return the layouts of `manifest` by path: from its files if they are here, else from a provider; or why not."""
    parts = node.parts
    held = await parts.workers.run(lambda: node.held(resolved.manifest))
    whole = [holding.folder for holding in held if holding.complete]
    if whole:
        await parts.workers.run(lambda: keep_layouts(manifest, resolved.manifest, whole[0], parts.store))
    else:
        try:
            await describe(
                resolved.manifest,
                search=search_of_peers(node, resolved, given),
                means=means_to_describe(parts),
                layouts=True,
            )
        except HubError as error:
            return None, error.message
    return await parts.workers.run(lambda: known_layouts(manifest, parts.store)), None


def _described(assembly: Assembly, layouts: Mapping[str, Layout]) -> Described:
    """Blocks."""

    def blob(digest: Digest) -> bytes:
        found = assembly.blob(digest)
        assert found is not None, f"chunk list {digest} is missing"
        return found

    manifest = assembly.manifest()
    lists = [decode_lists(entry.root, entry.size, entry.chunks, blob) for entry in manifest.files]
    return Described(manifest, lists, layouts)


def _held_json(holding: Holding) -> JsonObject:
    source = holding.source
    return {
        "folder": str(holding.folder),
        "complete": holding.complete,
        "origin": holding.origin.value,
        "source": None if source is None else {"cache": source.cache, "name": source.name, "revision": source.revision},
    }


def _tensors_json(layouts: Mapping[str, Layout]) -> list[JsonObject]:
    return [
        {"path": path, "name": span.name, **_span_json(span), "start": span.start}
        for path, layout in sorted(layouts.items())
        for span in layout.spans
    ]


def _span_json(span: Span) -> JsonObject:
    return {"dtype": span.dtype, "shape": list(span.shape), "bytes": span.stop - span.start}


def _file_change_json(change: FileChange) -> JsonObject:
    return {
        "change": change.kind.value,
        "path": change.path,
        "was": change.was,
        "bytes_before": change.bytes_before,
        "bytes_after": change.bytes_after,
    }


def _tensor_change_json(change: TensorChange) -> JsonObject:
    return {
        "change": change.kind.value,
        "name": change.name,
        "path": change.path,
        "before": None if change.before is None else _span_json(change.before),
        "after": None if change.after is None else _span_json(change.after),
    }


def release_shown(resolved: Resolved, evidence: Sequence[bytes]) -> JsonObject | None:
    """Return the release that led here, and what contradicts it."""
    if resolved.release is None:
        return None
    others = [signed for signed in evidence if signed != resolved.signed]
    contradicted = len(others) < len(evidence)
    return release_json(resolved.release, contradicted_by=read_release(others[0]) if contradicted else None)


def evidence_about(parts: Parts, release: Release | None) -> tuple[bytes, ...]:
    """Return what proves that the publisher of `release` lied about its name, if anything does. Blocks."""
    accepted = parts.ledger.accepted(release.publisher, release.name, release.tag) if release is not None else None
    return accepted.evidence if accepted is not None else ()


def search_of_peers(node: Running, resolved: Resolved, given: Sequence[PeerAddress]) -> Search:
    """Return where to ask what a manifest is: of peers, since no mirror is asked that."""
    return Search(resolved.known_with(given), node.parts.open_finder)


def means_to_describe(parts: Parts) -> engine.Means:
    return engine.Means(
        parts.dialler, parts.store, parts.workers, parts.key.peer_id, down=parts.caps.down, budget=parts.budget
    )

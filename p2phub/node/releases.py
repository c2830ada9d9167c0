"""Releases as the command line and the library show them, and what proves that a publisher lied.

Two different releases with one sequence, both signed by the publisher, are that proof: see `manifest.belief`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from p2phub.content import Codec, Digest
from p2phub.errors import Malformed, NotTrusted
from p2phub.manifest import Release, kept_release, named_manifest, read_release
from p2phub.node.compose import Parts
from p2phub.node.running import JsonObject
from p2phub.store import Origin


def references_by_manifest(parts: Parts) -> dict[Digest, list[str]]:
    """Return by manifest the references that lead to it, by what was accepted and published here. Blocks."""
    found: dict[Digest, set[str]] = {}
    for publisher, name, tag, accepted in parts.ledger.all_accepted():
        found.setdefault(kept_release(accepted.signed).manifest, set()).add(
            parts.resolver.names.spell(publisher, name, tag)
        )
    for item in parts.ledger.publications():
        found.setdefault(item.manifest, set()).add(parts.resolver.names.spell(item.publisher, item.name, item.tag))
    return {manifest: sorted(references) for manifest, references in found.items()}


def earlier_references(parts: Parts, manifests: Set[Digest]) -> dict[Digest, list[str]]:
    """Return of these manifests the references that led to them by a release that is known here, and do not any more.
    Blocks."""
    found: dict[Digest, set[str]] = {}
    named = {(publisher, name, tag) for publisher, name, tag, _ in parts.ledger.all_accepted()}
    named |= {(item.publisher, item.name, item.tag) for item in parts.ledger.publications()}
    for name in named:
        releases = parts.ledger.history(*name)
        for manifest in {named_manifest(signed) for signed in releases} & manifests if len(releases) > 1 else ():
            found.setdefault(manifest, set()).add(parts.resolver.names.spell(*name))
    return {manifest: sorted(references) for manifest, references in found.items()}


def names_of(parts: Parts, manifests: Set[Digest]) -> dict[Digest, str]:
    """Return what to call these manifests, as far as anything is known: by the first reference that leads to it, one
    that did before its newest release, what it was adopted as, or the user's folder that it stands in. Blocks."""
    known = references_by_manifest(parts)
    names = {manifest: known[manifest][0] for manifest in manifests & known.keys()}
    names |= {each: earlier[0] for each, earlier in earlier_references(parts, manifests - names.keys()).items()}
    for held in parts.store.held_at() if manifests - names.keys() else ():
        if held.manifest in manifests and held.manifest not in names:
            if held.source is not None and held.source.name:
                names[held.manifest] = held.source.name
            elif held.origin not in (Origin.OWN, Origin.SHARED):
                names[held.manifest] = held.folder.name
    return names


def references_in_places(parts: Parts) -> dict[Digest, list[str]]:
    """Return by manifest the references that lead to it by releases that lie in attached places, and are signed as they
    say. Whether one is the newest is not known before it is asked for. Blocks."""
    found: dict[Digest, set[str]] = {}
    for each in parts.places.named():
        try:
            release = read_release(each.signed)
        except (NotTrusted, Malformed):
            continue
        if (release.publisher, release.name, release.tag) == (each.publisher, each.name, each.tag):
            spelled = parts.resolver.names.spell(each.publisher, each.name, each.tag)
            found.setdefault(release.manifest, set()).add(spelled)
    return {manifest: sorted(references) for manifest, references in found.items()}


def release_json(release: Release, *, contradicted_by: Release | None = None) -> JsonObject:
    """Return a release as it is shown. `contradicted_by`: another one that its publisher signed with its sequence."""
    return {
        "publisher": str(release.publisher),
        "name": release.name,
        "tag": release.tag,
        "sequence": release.sequence,
        "manifest": release.manifest.text(Codec.MSGPACK),
        "previous": release.previous.text(Codec.MSGPACK) if release.previous is not None else None,
        "parents": [
            {"manifest": manifest.text(Codec.MSGPACK), "relation": relation} for manifest, relation in release.parents
        ],
        "kind": release.kind,
        "bytes": release.bytes_total,
        "created": release.created,
        "expires": release.expires,
        "licence": release.licence,
        "description": release.description,
        "contradicted_by": contradicted_by.manifest.text(Codec.MSGPACK) if contradicted_by is not None else None,
    }


def history_json(signed: Iterable[bytes], evidence: Sequence[bytes]) -> list[JsonObject]:
    """Return the releases of a name, the newest first, those of the evidence among them even if they were never
    believed here."""
    releases = {each: read_release(each) for each in (*signed, *evidence)}
    other = {one: releases[two] for one, two in (evidence, evidence[::-1])} if len(evidence) == 2 else {}
    newest_first = sorted(releases.items(), key=lambda each: each[1].sequence, reverse=True)
    return [release_json(release, contradicted_by=other.get(each)) for each, release in newest_first]


def contradiction_json(evidence: Sequence[bytes]) -> JsonObject | None:
    """Return who lied, about which sequence, and both manifests, or None where nothing proves a lie."""
    if not evidence:
        return None
    releases = [read_release(signed) for signed in evidence]
    return {
        "publisher": str(releases[0].publisher),
        "sequence": releases[0].sequence,
        "manifests": [release.manifest.text(Codec.MSGPACK) for release in releases],
    }

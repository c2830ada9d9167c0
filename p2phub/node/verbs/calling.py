"""What is called what here: the repositories of this home, as a program that knows names alone asks for them.

A name without a publisher's key in it means what the user said (`p2phub name add`), what is published here, or what was
adopted here under that name; and nothing else, whoever announces it. All of this is asked of this machine alone.
"""

from __future__ import annotations

from p2phub.content import Codec, Digest
from p2phub.errors import Malformed, NotFound, UsageError
from p2phub.identity import PeerId, parse_peer_id
from p2phub.manifest import (
    DEFAULT_TAG,
    Reference,
    Release,
    kept_release,
    named_manifest,
    parse_reference,
    read_release,
)
from p2phub.node.compose import Parts
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch
from p2phub.store import Holding, Provenance

HUB_CACHE = "hf"
DATASETS = "datasets/"
CANDIDATES_MAX = 5


async def repository(node: Running, watch: Watch, *, name: str) -> JsonObject:
    """Return what `name` ("org/name", or "name") means here: {"reference", "settled", "versions", "candidates"}.

    "reference" leads to it, None if nothing here is called so, or if it was adopted; "settled": whether no other
    version can ever come, since it means bytes; "versions": those known here, the newest of a tag first; "candidates":
    references to what is called alike, where nothing is called so.
    """
    return await node.parts.workers.run(lambda: _repository(node.parts, name))


async def repositories(node: Running, watch: Watch) -> JsonObject:
    """Return {"items": [{"name", "version"}]}: what is published here, adopted, held by a name, or mapped."""
    return {"items": await node.parts.workers.run(lambda: _repositories(node.parts))}


def _repository(parts: Parts, name: str) -> JsonObject:
    try:
        reference: Reference | None = parts.resolver.mapped(parse_reference(name))
    except (UsageError, NotFound, Malformed):  # Malformed: behind a petname, what no publisher can have called so.
        reference = None
    if reference is None:
        adopted = [_adopted_version(parts, each) for each in _adopted(parts, name)]
        candidates = [] if adopted else _candidates(parts, name)
        return {"reference": None, "settled": True, "versions": adopted, "candidates": candidates}
    if reference.publisher is None or reference.name is None:
        assert reference.digest is not None, "a reference without a publisher is a digest"
        version = {**_unsigned(parts, reference.digest), "tag": DEFAULT_TAG}
        return {"reference": name, "settled": True, "versions": [version], "candidates": []}
    versions = _versions(parts, reference.publisher, reference.name)
    if reference.digest is not None:
        digest = reference.digest.text(Codec.MSGPACK)
        known = next((each for each in versions if each["manifest"] == digest), None)
        versions = [{**(known or _unsigned(parts, reference.digest)), "tag": DEFAULT_TAG}]
    elif reference.tag != DEFAULT_TAG:  # Mapped to one tag, which is the default of this name.
        own = [{**each, "tag": DEFAULT_TAG} for each in versions if each["tag"] == reference.tag]
        versions = own + [each for each in versions if each["tag"] != DEFAULT_TAG]
    settled = reference.digest is not None
    return {"reference": name, "settled": settled, "versions": versions, "candidates": []}


def _repositories(parts: Parts) -> list[JsonObject]:
    items: dict[str, JsonObject] = {}
    names = parts.ledger.names()
    petnames = {target: alias for alias, target in names.items() if "/" not in alias}
    holdings = parts.store.holdings()
    held = {holding.manifest for holding in holdings}
    commits = {
        each.manifest: each.source.revision
        for each in reversed(holdings)  # Of several the newest counts, as in `_hub_commit`.
        if each.source is not None and _is_of_a_hub(each.source)
    }

    def version_of(signed: bytes, *, published: bool = False) -> JsonObject:
        release = kept_release(signed)
        return _version(release, commits.get(release.manifest), published=published)

    for alias in names:
        if "/" in alias:
            for version in _repository(parts, alias)["versions"][:1]:
                items[alias] = version
    for item in parts.ledger.publications():
        _keep_newest(items, item.name, version_of(item.signed, published=True))
    for publisher, name, _, accepted in parts.ledger.all_accepted():
        if named_manifest(accepted.signed) in held:
            owner = petnames.get(str(publisher), str(publisher))
            _keep_newest(items, f"{owner}/{name}", version_of(accepted.signed))
    for holding in holdings:
        if holding.source is not None and _is_of_a_hub(holding.source):
            name = holding.source.name.removeprefix(DATASETS)
            items.setdefault(name, _adopted_version(parts, holding))
    return [{"name": name, "version": version} for name, version in items.items()]


def _keep_newest(items: dict[str, JsonObject], name: str, version: JsonObject) -> None:
    known = items.get(name)
    if known is None or (version["tag"] == DEFAULT_TAG, version["created"]) > (
        known["tag"] == DEFAULT_TAG,
        known["created"] or 0,
    ):
        items[name] = version


def _versions(parts: Parts, publisher: PeerId, name: str) -> list[JsonObject]:
    """Return the versions of a publisher's name that are known here, of each tag the newest first."""
    published = {
        (item.tag, item.manifest)
        for item in parts.ledger.publications()
        if (item.publisher, item.name) == (publisher, name)
    }
    tags = {tag for tag, _ in published}
    tags |= {tag for who, what, tag, _ in parts.ledger.all_accepted() if (who, what) == (publisher, name)}
    found: list[JsonObject] = []
    for tag in sorted(tags, key=lambda tag: (tag != DEFAULT_TAG, tag)):
        signed = dict.fromkeys(reversed(parts.ledger.history(publisher, name, tag)))
        releases = sorted(map(read_release, signed), key=lambda release: release.sequence, reverse=True)
        found += [
            _version(each, _hub_commit(parts, each.manifest), published=(tag, each.manifest) in published)
            for each in releases
        ]
    return found


def _version(release: Release, revision: str | None, *, published: bool = False) -> JsonObject:
    return {
        **_bare(release.manifest, revision),
        "tag": release.tag,
        "kind": release.kind,
        "created": release.created,
        "licence": release.licence,
        "description": release.description,
        "private": release.private,
        "published": published,
    }


def _unsigned(parts: Parts, manifest: Digest) -> JsonObject:
    """Return a version of which no publisher says anything."""
    return _bare(manifest, _hub_commit(parts, manifest))


def _bare(manifest: Digest, revision: str | None) -> JsonObject:
    return {
        "manifest": manifest.text(Codec.MSGPACK),
        "tag": None,
        "kind": None,
        "created": None,
        "licence": "",
        "description": "",
        "private": False,
        "published": False,
        "revision": revision,
    }


def _adopted_version(parts: Parts, holding: Holding) -> JsonObject:
    assert holding.source is not None
    kind = "dataset" if holding.source.name.startswith(DATASETS) else "model"
    return {**_unsigned(parts, holding.manifest), "kind": kind, "revision": holding.source.revision}


def _hub_commit(parts: Parts, manifest: Digest) -> str | None:
    """Return what a hub calls a manifest, if it was adopted from the cache of one."""
    sources = [each.source for each in parts.store.holdings(manifest)]
    return next((source.revision for source in sources if source is not None and _is_of_a_hub(source)), None)


def _adopted(parts: Parts, name: str) -> list[Holding]:
    """Return what was adopted from a hub's cache under that name, the newest first."""
    return [
        holding
        for holding in parts.store.holdings()
        if holding.source is not None
        and holding.source.cache == HUB_CACHE
        and holding.source.name in (name, DATASETS + name)
    ]


def _candidates(parts: Parts, name: str) -> list[str]:
    """Return references to what is known here and called alike, whoever published it, for the user to choose from."""
    alike = name.rpartition("/")[2].lower()
    found: dict[str, None] = {}
    known = [(item.publisher, item.name) for item in parts.ledger.publications()]
    known += [(publisher, what) for publisher, what, _, _ in parts.ledger.all_accepted()]
    for publisher, what in known:
        if what == alike and not _is_key(name.partition("/")[0]):
            found[parts.resolver.spell(publisher, what, DEFAULT_TAG)] = None
    return list(found)[:CANDIDATES_MAX]


def _is_of_a_hub(source: Provenance) -> bool:
    return source.cache == HUB_CACHE


def _is_key(text: str) -> bool:
    try:
        parse_peer_id(text)
    except Malformed:
        return False
    return True

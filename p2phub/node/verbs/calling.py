"""What is called what here: the repositories of this home, as a program that knows names alone asks for them.

A name without a publisher's key in it means what the user said (`p2phub name add`), what is published here, or what was
adopted here under that name; and nothing else, whoever announces it. All of this is asked of this machine alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from p2phub.content import Codec, Digest
from p2phub.errors import Malformed, NotFound, NotTrusted, UsageError
from p2phub.identity import PeerId
from p2phub.manifest import DEFAULT_TAG, Reference, Release, check_name, is_under_a_key, kept_release, parse_reference
from p2phub.node.compose import Parts
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch
from p2phub.store import HeldAt

HUB_CACHE = "hf"
DATASETS = "datasets/"
CANDIDATES_MAX = 5


async def repository(node: Running, watch: Watch, *, name: str) -> JsonObject:
    """Return what `name` ("org/name", or "name") means here: {"reference", "settled", "versions", "candidates"}.

    "reference" leads to it, None if nothing here is called so, or if it was adopted; "settled": whether no other
    version can ever come, since it means bytes; "versions": those known here, the newest of a tag first; "candidates":
    references to what is called alike, where nothing is called so.
    """
    parts = node.parts

    def commit_of(manifest: Digest) -> str | None:
        return _commits_among(parts.store.held_at(manifest))(manifest)

    return await parts.workers.run(lambda: _repository(parts, name, commit_of))


async def repositories(node: Running, watch: Watch) -> JsonObject:
    """Return {"items": [{"name", "version"}]}: what is published here, adopted, held by a name, or mapped."""
    return {"items": await node.parts.workers.run(lambda: _repositories(node.parts))}


async def publishable(node: Running, watch: Watch, *, name: str) -> JsonObject:
    """Return what is published here as `name` ("org/name", or "name"): {"reference", "name", "mapped"}.

    "name" is that of our publisher's, "reference" it with our key; "mapped": whether `name` leads there already, else
    nothing is called so yet. Raises NotTrusted where it means what somebody else publishes, UsageError where nothing
    can be published so.
    """
    return await node.parts.workers.run(lambda: _publishable(node.parts, name))


def _publishable(parts: Parts, name: str) -> JsonObject:
    own = parts.publisher.peer_id
    try:
        reference = parts.resolver.names.mapped(parse_reference(name))
    except (UsageError, NotFound, Malformed):
        reference = None
    if reference is not None:
        if reference.publisher is None or reference.name is None or reference.digest is not None:
            raise UsageError(f"{name} stands for one version here, of which no newer one can be published")
        if reference.publisher != own:
            raise NotTrusted(f"{name} stands for what {reference.publisher} publishes, and not for anything of ours")
        if reference.tag != DEFAULT_TAG:
            raise UsageError(f"{name} stands for one tag here", hint="give another name to what is to be published")
        return {"reference": f"{own}/{reference.name}", "name": reference.name, "mapped": True}
    if _adopted(parts, name):
        raise UsageError(f"{name} is what another program has here", hint="publish under another name")
    taken = {item.name for item in parts.ledger.publications() if item.publisher == own}
    taken |= {what for publisher, what, _, _ in parts.ledger.all_accepted() if publisher == own}
    org, _, last = name.lower().rpartition("/")
    for free in (last, f"{org}-{last}") if org else (last,):
        try:
            check_name(free)
        except Malformed:
            continue
        if free not in taken:
            return {"reference": f"{own}/{free}", "name": free, "mapped": not org}
    raise UsageError(
        f"no name is free, or can be one, to publish {name} as",
        hint=f"if it is to go on with one of yours: p2phub name add {name} {own}/NAME",
    )


Commits = Callable[[Digest], str | None]
"""Says what a hub calls a manifest, if it was adopted from the cache of one."""


def _commits_among(held: Iterable[HeldAt]) -> Commits:
    """Answer by what is held, the newest first."""
    found: dict[Digest, str | None] = {}
    for each in held:
        if each.source is not None and each.source.cache == HUB_CACHE:
            found.setdefault(each.manifest, each.source.revision)
    return found.get


def _repository(parts: Parts, name: str, commits: Commits) -> JsonObject:
    try:
        reference: Reference | None = parts.resolver.names.mapped(parse_reference(name))
    except (UsageError, NotFound, Malformed):  # Malformed: behind a petname, what no publisher can have called so.
        reference = None
    if reference is None:
        adopted = [_adopted_version(each, commits) for each in _adopted(parts, name)]
        candidates = [] if adopted else _candidates(parts, name)
        return {"reference": None, "settled": True, "versions": adopted, "candidates": candidates}
    if reference.publisher is None or reference.name is None:
        assert reference.digest is not None, "a reference without a publisher is a digest"
        version = {**_unsigned(reference.digest, commits), "tag": DEFAULT_TAG}
        return {"reference": name, "settled": True, "versions": [version], "candidates": []}
    versions = _versions(parts, reference.publisher, reference.name, commits)
    if reference.digest is not None:
        digest = reference.digest.text(Codec.MSGPACK)
        known = next((each for each in versions if each["manifest"] == digest), None)
        versions = [{**(known or _unsigned(reference.digest, commits)), "tag": DEFAULT_TAG}]
    elif reference.tag != DEFAULT_TAG:  # Mapped to one tag, which is the default of this name.
        own = [{**each, "tag": DEFAULT_TAG} for each in versions if each["tag"] == reference.tag]
        versions = own + [each for each in versions if each["tag"] != DEFAULT_TAG]
    settled = reference.digest is not None
    return {"reference": name, "settled": settled, "versions": versions, "candidates": []}


def _repositories(parts: Parts) -> list[JsonObject]:
    items: dict[str, JsonObject] = {}
    names = parts.ledger.names()
    petnames = {target: alias for alias, target in names.items() if "/" not in alias}
    held_at = parts.store.held_at()
    held, commits = {each.manifest for each in held_at}, _commits_among(held_at)
    for alias in names:
        if "/" in alias:
            for version in _repository(parts, alias, commits)["versions"][:1]:
                items[alias] = version
    for item in parts.ledger.publications():
        _keep_newest(items, item.name, _version(kept_release(item.signed), commits, published=True))
    for publisher, name, _, accepted in parts.ledger.all_accepted():
        if kept_release(accepted.signed).manifest in held:
            owner = petnames.get(str(publisher), str(publisher))
            _keep_newest(items, f"{owner}/{name}", _version(kept_release(accepted.signed), commits))
    for each in held_at:
        if each.source is not None and each.source.cache == HUB_CACHE:
            name = each.source.name.removeprefix(DATASETS)
            if not is_under_a_key(name):
                items.setdefault(name, _adopted_version(each, commits))
    return [{"name": name, "version": version} for name, version in items.items()]


def _keep_newest(items: dict[str, JsonObject], name: str, version: JsonObject) -> None:
    known = items.get(name)
    if known is None or (version["tag"] == DEFAULT_TAG, version["created"]) > (
        known["tag"] == DEFAULT_TAG,
        known["created"] or 0,
    ):
        items[name] = version


def _versions(parts: Parts, publisher: PeerId, name: str, commits: Commits) -> list[JsonObject]:
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
        releases = sorted(map(kept_release, signed), key=lambda release: release.sequence, reverse=True)
        found += [_version(each, commits, published=(tag, each.manifest) in published) for each in releases]
    return found


def _version(release: Release, commits: Commits, *, published: bool = False) -> JsonObject:
    return {
        **_unsigned(release.manifest, commits),
        "tag": release.tag,
        "kind": release.kind,
        "created": release.created,
        "licence": release.licence,
        "description": release.description,
        "private": release.private,
        "published": published,
    }


def _unsigned(manifest: Digest, commits: Commits) -> JsonObject:
    """Return a version of which no publisher says anything."""
    return {
        "manifest": manifest.text(Codec.MSGPACK),
        "tag": None,
        "kind": None,
        "created": None,
        "licence": "",
        "description": "",
        "private": False,
        "published": False,
        "revision": commits(manifest),
    }


def _adopted_version(held: HeldAt, commits: Commits) -> JsonObject:
    assert held.source is not None
    kind = "dataset" if held.source.name.startswith(DATASETS) else "model"
    return {**_unsigned(held.manifest, commits), "kind": kind, "revision": held.source.revision}


def _adopted(parts: Parts, name: str) -> list[HeldAt]:
    """Return what was adopted from a hub's cache under that name, the newest first; nothing under a publisher's key,
    which a cache that somebody else made may have a folder called by."""
    if is_under_a_key(name):
        return []
    return [
        each
        for each in parts.store.held_at()
        if each.source is not None and each.source.cache == HUB_CACHE and each.source.name in (name, DATASETS + name)
    ]


def _candidates(parts: Parts, name: str) -> list[str]:
    """Return references to what is known here and called alike, whoever published it, for the user to choose from."""
    alike = name.rpartition("/")[2].lower()
    found: dict[str, None] = {}
    known = [(item.publisher, item.name) for item in parts.ledger.publications()]
    known += [(publisher, what) for publisher, what, _, _ in parts.ledger.all_accepted()]
    for publisher, what in known:
        if what == alike and not is_under_a_key(name):
            found[parts.resolver.names.spell(publisher, what, DEFAULT_TAG)] = None
    return list(found)[:CANDIDATES_MAX]

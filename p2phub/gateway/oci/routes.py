"""What a request to the registry asks for: its method and raw target, read into one of a few values. Pure.

    /v2/                                    whether this is a registry
    /v2/_catalog                            which repositories there are
    /v2/[datasets/][ORG/]NAME/tags/list     what can be pulled of one
    /v2/…NAME/manifests/TAG or DIGEST       the document that names what to pull
    /v2/…NAME/blobs/DIGEST                  one thing that it names
    /v2/…NAME/referrers/DIGEST              what was said of it: nothing, ever

A dataset is called `datasets/NAME`, as in a hub's URLs; so an organisation called `datasets` cannot be had here. Upper
case is read, though OCI clients cannot send it: Ollama can, and so a publisher's key can be an organisation for it.
What this is not is UNSUPPORTED: to push, above all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from urllib.parse import parse_qsl

import msgspec

from p2phub import api, limits
from p2phub.gateway.oci.refusals import bad_digest, bad_name, no_blob, no_manifest, unsupported
from p2phub.gateway.routes import Kind, RepoId
from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from p2phub.http.target import decoded

MODELPACK_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_NUMBER = re.compile(r"[0-9]{1,9}")
_LAST_MAX = 512  # Letters: a name has 255, a tag 128.


class Form(Enum):
    """What kind of document names what to pull."""

    PACK = "modelpack"
    OLLAMA = "ollama"


class Page(msgspec.Struct, frozen=True):
    """At most `most` entries, those behind `last` in their order."""

    most: int
    last: str


class AskVersion(msgspec.Struct, frozen=True):
    pass


class AskCatalogue(msgspec.Struct, frozen=True):
    page: Page


class AskTags(msgspec.Struct, frozen=True):
    repo: RepoId
    page: Page


class AskManifest(msgspec.Struct, frozen=True):
    """The document by a tag, or (None) by its own digest: SHA-256 in hex."""

    repo: RepoId
    tag: str | None
    sha256: str = ""


class AskBlob(msgspec.Struct, frozen=True):
    repo: RepoId
    sha256: str


class AskReferrers(msgspec.Struct, frozen=True):
    repo: RepoId


Asked = AskVersion | AskCatalogue | AskTags | AskManifest | AskBlob | AskReferrers


def read_request(method: str, target: str) -> Asked:
    """Return what is asked for; `target` begins with /v2. Raises Refusal: (400) for a name or a digest that is none,
    (404) for a tag that nothing can have, (405) for all that is not pulling, (414)."""
    path, _, query = target.partition("?")
    if len(path) > limits.GATEWAY_TARGET_BYTES_MAX:
        raise Refusal(414, "the path is too long")
    if method not in ("GET", "HEAD"):
        raise unsupported()
    match [decoded(part) for part in path.split("/")[2:]]:
        case [] | [""]:
            return AskVersion()
        case ["_catalog"]:
            return AskCatalogue(_page(query))
        case [*names, "tags", "list"] if names:
            return AskTags(_repository(names), _page(query))
        case [*names, "manifests", reference] if names:
            repo = _repository(names)
            if ":" in reference:
                return AskManifest(repo, None, _sha256(reference, no_manifest))
            if not _TAG.fullmatch(reference):
                raise no_manifest("nothing can be tagged so")
            return AskManifest(repo, reference)
        case [*names, "blobs", digest] if names:
            return AskBlob(_repository(names), _sha256(digest, no_blob))
        case [*names, "referrers", digest] if names:
            repo = _repository(names)
            if not _DIGEST.fullmatch(digest):
                raise bad_digest()
            return AskReferrers(repo)
    raise unsupported()


def wanted_form(request: Request) -> Form:
    """Return which document a client can read: by what it accepts, and where it does not say by who it is.

    Ollama names the Docker manifest and nothing else, OCI clients name the OCI manifest among others. A newer Ollama
    names nothing.
    """
    accepted = {each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "").split(",")}
    if MODELPACK_MEDIA_TYPE in accepted:
        return Form.PACK
    if api.OLLAMA_MEDIA_TYPE in accepted:
        return Form.OLLAMA
    is_ollama = request.headers.get("user-agent", "").lower().startswith("ollama/")
    return Form.OLLAMA if is_ollama else Form.PACK


def _repository(names: Sequence[str]) -> RepoId:
    kind = Kind.MODEL
    if names[0] == "datasets" and len(names) > 1:
        kind, names = Kind.DATASET, names[1:]
    if len(names) > 2 or not all(map(api.is_alias, names)):
        raise bad_name()
    return RepoId(kind, "/".join(names))


def _sha256(digest: str, unknown: Callable[[str], Refusal]) -> str:
    """Return the hex digits of a digest. Raises Refusal, `unknown` for one of another kind."""
    if not _DIGEST.fullmatch(digest):
        raise bad_digest()
    if not digest.startswith("sha256:"):
        raise unknown("everything here is named by SHA-256")
    found = _SHA256.fullmatch(digest)
    if found is None:
        raise bad_digest()
    return found[1]


def _page(query: str) -> Page:
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=limits.GATEWAY_OPTIONS_MAX))
    except ValueError as exc:
        raise Refusal(400, "too many options") from exc
    number, last = given.get("n", ""), given.get("last", "")
    if (number and not _NUMBER.fullmatch(number)) or len(last) > _LAST_MAX:
        raise Refusal(400, "n is a number, and last an entry of the list", code="PAGINATION_NUMBER_INVALID")
    return Page(min(int(number), limits.OCI_PAGE_MAX) if number else limits.OCI_PAGE_MAX, last)

"""What a request to the registry means, and what is none."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.gateway.oci.routes import (
    AskBlob,
    AskCatalogue,
    Asked,
    AskManifest,
    AskReferrers,
    AskTags,
    AskVersion,
    Form,
    Page,
    read_request,
    wanted_form,
)
from p2phub.gateway.routes import Kind, RepoId
from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from tests.support.covers import covers

HEX = "ab" * 32
MINI = RepoId(Kind.MODEL, "acme/mini")
ALL = Page(limits.OCI_PAGE_MAX, "")
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/v2", AskVersion()),
        ("/v2/", AskVersion()),
        ("/v2/_catalog", AskCatalogue(ALL)),
        ("/v2/_catalog?n=5&last=acme%2Fmini", AskCatalogue(Page(5, "acme/mini"))),
        ("/v2/acme/mini/tags/list", AskTags(MINI, ALL)),
        ("/v2/acme/mini/tags/list?n=0", AskTags(MINI, Page(0, ""))),
        ("/v2/acme/mini/tags/list?n=999999999", AskTags(MINI, ALL)),
        ("/v2/acme/mini/manifests/Q4_K_M", AskManifest(MINI, "Q4_K_M")),
        (f"/v2/acme/mini/manifests/sha256:{HEX}", AskManifest(MINI, None, HEX)),
        (f"/v2/acme/mini/manifests/sha256%3A{HEX}", AskManifest(MINI, None, HEX)),
        (f"/v2/acme/mini/blobs/sha256:{HEX}", AskBlob(MINI, HEX)),
        (f"/v2/acme/mini/referrers/sha256:{HEX}?artifactType=a", AskReferrers(MINI)),
        ("/v2/mini/tags/list", AskTags(RepoId(Kind.MODEL, "mini"), ALL)),
        ("/v2/datasets/mini/tags/list", AskTags(RepoId(Kind.DATASET, "mini"), ALL)),
        ("/v2/datasets/acme/mini/tags/list", AskTags(RepoId(Kind.DATASET, "acme/mini"), ALL)),
        ("/v2/datasets/tags/list", AskTags(RepoId(Kind.MODEL, "datasets"), ALL)),
        ("/v2/manifests/manifests/manifests/main", AskManifest(RepoId(Kind.MODEL, "manifests/manifests"), "main")),
        ("/v2/12D3KooW/Mini/tags/list", AskTags(RepoId(Kind.MODEL, "12D3KooW/Mini"), ALL)),
    ],
)
def test_a_path_says_what_is_asked_for(target: str, asked: Asked) -> None:
    assert read_request("GET", target) == asked
    assert read_request("HEAD", target) == asked


@covers("T44")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("target", ["/v2/acme/mini/blobs/uploads/", "/v2/acme/mini/manifests/main", "/v2/", "/v2/%"])
def test_to_push_and_to_delete_is_unsupported(method: str, target: str) -> None:
    refusal = refused(method, target)
    assert (refusal.status, refusal.code) == (405, "UNSUPPORTED")


@covers("T45")
@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/v2/acme/mini", 405, "UNSUPPORTED"),
        ("/v2//tags/list", 400, "NAME_INVALID"),
        ("/v2/tags/list", 405, "UNSUPPORTED"),
        ("/v2/../mini/tags/list", 400, "NAME_INVALID"),
        ("/v2/acme/..%2f..%2fetc/tags/list", 400, "NAME_INVALID"),
        ("/v2/%2e%2e/mini/tags/list", 400, "NAME_INVALID"),
        ("/v2/acme%2Fmini/tags/list", 400, "NAME_INVALID"),
        ("/v2/acme/mini%00/tags/list", 400, "NAME_INVALID"),
        ("/v2/a/b/c/tags/list", 400, "NAME_INVALID"),
        ("/v2/datasets/a/b/c/tags/list", 400, "NAME_INVALID"),
        ("/v2/acme/" + "m" * 97 + "/tags/list", 400, "NAME_INVALID"),
        ("/v2/acme/mini/manifests/", 404, "MANIFEST_UNKNOWN"),
        ("/v2/acme/mini/manifests/..", 404, "MANIFEST_UNKNOWN"),
        ("/v2/acme/mini/manifests/" + "t" * 129, 404, "MANIFEST_UNKNOWN"),
        ("/v2/acme/mini/manifests/sha256:ab", 400, "DIGEST_INVALID"),
        ("/v2/acme/mini/manifests/:", 400, "DIGEST_INVALID"),
        (f"/v2/acme/mini/manifests/sha512:{HEX}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/acme/mini/blobs/sha512:{HEX}", 404, "BLOB_UNKNOWN"),
        (f"/v2/acme/mini/blobs/sha256:{HEX.upper()}", 400, "DIGEST_INVALID"),
        (f"/v2/acme/mini/blobs/sha256-{HEX}", 400, "DIGEST_INVALID"),
        ("/v2/acme/mini/blobs/sha256:../../etc/passwd", 405, "UNSUPPORTED"),
        ("/v2/acme/mini/blobs/..%2f..%2fetc%2fpasswd", 400, "DIGEST_INVALID"),
        ("/v2/acme/mini/referrers/latest", 400, "DIGEST_INVALID"),
        ("/v2/acme/mini/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/acme/mini/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/acme/mini/tags/list?n=9999999999", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/acme/mini/tags/list?last=" + "x" * 513, 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/acme/mini/tags/list?" + "&".join(["a=1"] * 65), 400, None),
        ("/v2/acme/%zz/tags/list", 400, None),
        ("/v2/acme/%ff/tags/list", 400, None),
        ("/v2/" + "a/" * 5000 + "tags/list", 414, None),
    ],
)
def test_what_cannot_be_asked_for_is_refused_as_the_specification_says(
    target: str, status: int, code: str | None
) -> None:
    refusal = refused("GET", target)
    assert (refusal.status, refusal.code) == (status, code)


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({"accept": DOCKER, "user-agent": "ollama/0.12.3 (amd64 linux) Go/go1.24"}, Form.OLLAMA),
        ({"accept": DOCKER}, Form.OLLAMA),
        ({"user-agent": "ollama/0.12.3 (amd64 linux) Go/go1.24"}, Form.OLLAMA),
        ({"accept": f"{DOCKER}, application/vnd.oci.image.index.v1+json, {OCI}"}, Form.PACK),
        ({"accept": OCI.upper() + "; q=0.9", "user-agent": "ollama/1"}, Form.PACK),
        ({"accept": "*/*", "user-agent": "curl/8"}, Form.PACK),
        ({}, Form.PACK),
    ],
)
def test_who_accepts_what_says_which_document_is_meant(headers: dict[str, str], form: Form) -> None:
    assert wanted_form(Request("GET", "/v2/", headers, "127.0.0.1")) is form


def refused(method: str, target: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_request(method, target)
    return caught.value

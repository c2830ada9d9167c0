"""Mirrors by template: which URL is meant for a model, and where metadata stand below it."""

from __future__ import annotations

import pytest

from p2phub.content import Codec, digest_of
from p2phub.errors import Malformed, UsageError
from p2phub.identity import PeerId
from p2phub.manifest import check_mirror, check_path, mirror_blob_path, mirror_of, mirror_release_path

PUBLISHER = PeerId(bytes(range(32)))
NAME = (PUBLISHER, "minilm", "v1.0")
MANIFEST = digest_of(b"manifest")


@pytest.mark.parametrize(
    ("template", "meant"),
    [
        ("https://h.example/x", "https://h.example/x"),
        ("https://h.example/{name}", "https://h.example/minilm"),
        ("https://h.example/{publisher}/{name}/{tag}", f"https://h.example/{PUBLISHER}/minilm/v1.0"),
        ("https://h.example/by/{manifest}", f"https://h.example/by/{MANIFEST.text(Codec.MSGPACK)}"),
        ("https://{name}.example/x", "https://minilm.example/x"),
    ],
)
def test_fields_are_filled_in(template: str, meant: str) -> None:
    check_mirror(template)
    assert str(mirror_of(template, name=NAME, manifest=MANIFEST)) == meant


def test_a_template_whose_fields_are_not_known_means_no_mirror() -> None:
    assert mirror_of("https://h.example/{name}", name=None, manifest=MANIFEST) is None
    assert mirror_of("https://h.example/{manifest}", name=NAME, manifest=None) is None
    assert mirror_of("https://h.example/x", name=None, manifest=None) is not None


@pytest.mark.parametrize(
    "template",
    ["https://h.example/{}", "https://h.example/{path}", "https://h.example/{name", "http://h.example/{name}"],
)
def test_a_template_that_can_mean_no_mirror_is_a_usage_error(template: str) -> None:
    with pytest.raises(UsageError):
        check_mirror(template)
    with pytest.raises(UsageError):
        mirror_of(template, name=NAME, manifest=MANIFEST)


def test_metadata_stand_where_no_manifest_can_name_a_file() -> None:
    for path in (mirror_blob_path(MANIFEST), mirror_release_path(*NAME)):
        with pytest.raises(Malformed, match="path-own"):
            check_path(path)

"""The parts of the page: kept by browsers for as long as they are the same, and no longer."""

from __future__ import annotations

import gzip

import pytest

from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal
from p2phub.web.files import Files, read_files
from tests.support.covers import covers

SCRIPT = b"const answer = 42;\n" * 100
FILES = Files(
    {
        "index.html": b'<script type="module" src="/-/static/app.js"></script><img src="/-/static/gone.png">',
        "app.js": SCRIPT,
        "icon.png": b"\x89PNG" + bytes(2000),
        "small.css": b"a{}",
    }
)


def request(**headers: str) -> Request:
    return Request("GET", "/", {name.replace("_", "-"): value for name, value in headers.items()}, "127.0.0.1")


def test_the_page_names_its_parts_by_their_content() -> None:
    status, headers, body = FILES.index(request())
    version = body.decode().partition("app.js?v=")[2][:16]
    assert status == 200
    assert b'/-/static/gone.png"' in body  # What is not there is named as it is.
    _, told, content = FILES.part(request(), "app.js", version)
    assert ("Cache-Control", "max-age=31536000, immutable") in told
    assert content == SCRIPT
    assert ("Cache-Control", "no-cache") in headers
    for other in ("", "0123456789abcdef"):
        assert ("Cache-Control", "no-cache") in FILES.part(request(), "app.js", other)[1]


def test_what_a_browser_has_is_not_sent_again() -> None:
    etag = dict(FILES.part(request(), "app.js", "")[1])["ETag"]
    assert FILES.part(request(if_none_match=f'"x", W/{etag}'), "app.js", "")[::2] == (304, b"")
    packed = dict(FILES.part(request(accept_encoding="gzip"), "app.js", "")[1])["ETag"]
    assert packed != etag
    assert FILES.part(request(accept_encoding="gzip", if_none_match=etag), "app.js", "")[0] == 200


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [("gzip, deflate, br", True), ("*", True), ("gzip;q=0.5", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
def test_a_part_is_packed_for_whoever_takes_it(accepted: str, is_packed: bool) -> None:
    _, headers, body = FILES.part(request(accept_encoding=accepted), "app.js", "")
    assert dict(headers).get("Content-Encoding") == ("gzip" if is_packed else None)
    assert (gzip.decompress(body) if is_packed else body) == SCRIPT
    assert ("Vary", "Accept-Encoding") in headers
    for name in ("icon.png", "small.css"):
        assert "Content-Encoding" not in dict(FILES.part(request(accept_encoding=accepted), name, "")[1])


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "../policy.py", "/etc/passwd", ""])
def test_nothing_else_is_a_part(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        FILES.part(request(), name, "")
    assert refused.value.status == 404


@covers("T45", "T46")
def test_browsers_are_told_to_run_and_load_nothing_but_the_page_and_to_put_it_into_no_frame() -> None:
    headers = dict(FILES.index(request())[1])
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    part = dict(FILES.part(request(), "app.js", "")[1])
    for each in (headers, part):
        assert each["X-Content-Type-Options"] == "nosniff"
        assert each["Referrer-Policy"] == "no-referrer"
        assert each["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_page_that_came_with_the_package_can_be_read() -> None:
    assert read_files().index(request())[0] == 200

"""Which URLs name a mirror: one spelling, no host in disguise."""

from __future__ import annotations

import pytest

from p2phub.errors import Malformed, UsageError
from p2phub.identity import MirrorId, PeerId, parse_mirror, parse_web_url
from tests.support.covers import covers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://models.example.org/llama", "https://models.example.org/llama"),
        ("https://models.example.org", "https://models.example.org"),
        ("https://models.example.org/", "https://models.example.org"),
        ("HTTPS://Models.Example.ORG:443/Llama//", "https://models.example.org/Llama"),
        ("https://h:8443/a%20b/c", "https://h:8443/a%20b/c"),
        ("https://192.0.2.7/x", "https://192.0.2.7/x"),
        ("https://[2001:DB8:0::7]:8443/x", "https://[2001:db8::7]:8443/x"),
        ("https://[::ffff:192.0.2.7]/x", "https://192.0.2.7/x"),
        ("https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example/x"),
        ("http://localhost:8000/x", "http://localhost:8000/x"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_mirror_has_one_spelling(text: str, shown: str) -> None:
    mirror = parse_mirror(text)
    assert str(mirror) == shown
    assert parse_mirror(shown) == mirror


@covers("T42")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "models.example.org/llama",
        "ftp://models.example.org/x",
        "file:///etc/passwd",
        "https:///x",
        "https://user@models.example.org/x",
        "https://user:secret@models.example.org/x",
        "https://models.example.org@10.0.0.1/x",
        "https://models.example.org\\@10.0.0.1/x",
        "https://[fe80::1%25eth0]/x",
        "https://[fe80::1%eth0]/x",
        "https://[::1/x",
        "https://[localhost]/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0x7f.1/x",
        "https://127.1/x",
        "https://0177.0.0.1/x",
        "https://127.0.0.01/x",
        "https://1.2.3.4.5/x",
        "https://h.0x/x",
        "https://127%2e0.0.1/x",
        "https://models.example.org./x",
        "https://-models.example.org/x",
        "https://bücher.example/x",
        "https://１２７.0.0.1/x",
        "https://mod els.example/x",
        "https://models.example\n.org/x",
        "https://models.example.org/x\r\nHost: other",
        "https://models.example.org/a b",
        "https://models.example.org/a%2",
        "https://models.example.org/a/../b",
        "https://models.example.org/a/%2e%2E/b",
        "https://models.example.org/./b",
        "https://models.example.org:0/x",
        "https://models.example.org:70000/x",
        "https://models.example.org:/x",
        "https://models.example.org:4_43/x",
        "https://models.example.org/x?token=1",
        "https://models.example.org/x#part",
        "http://models.example.org/x",
        "http://192.168.0.7/x",
        "http://localhost.example/x",
        "https://" + "a" * 64 + ".example/x",
        "https://models.example.org/" + "x" * 9000,
    ],
)
def test_what_is_no_mirror_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="mirror"):
        parse_mirror(text)


def test_where_a_mirror_redirects_to_may_have_a_query_and_loses_its_fragment() -> None:
    url = parse_web_url("https://cdn.example:8443/a/b?sig=%2Fx&until=1#part")
    assert (url.host, url.port, url.target) == ("cdn.example", 8443, "/a/b?sig=%2Fx&until=1")
    assert str(url) == "https://cdn.example:8443/a/b?sig=%2Fx&until=1"
    with pytest.raises(Malformed, match="mirror-url"):
        parse_web_url("https://cdn.example/a?b c")


def test_mirrors_and_peers_are_told_apart_wherever_sources_are_kept() -> None:
    mirror = parse_mirror("https://models.example.org/x")
    kept: dict[PeerId | MirrorId, int] = {mirror: 1, PeerId(bytes(32)): 2}
    assert kept[parse_mirror("https://models.example.org/x/")] == 1


@covers("T48")
@pytest.mark.parametrize(
    "text",
    [
        "https://ann:hunter2@h.example/x",
        "https://hunter2@h.example",
        "https://h.example/x?token=hunter2",
        "https://ann:p@hunter2@h.example/x",
        "ann:hunter2@h.example",
        "https://ann:hunter2//@h.example/x",
        "https://ann:hunter2?@h.example/x",
    ],
)
def test_an_error_about_a_url_does_not_tell_the_password_in_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_mirror(text)
    assert "hunter2" not in str(caught.value)
    assert "h.example" in str(caught.value)

"""Who may ask: programs of this machine, and no page that a browser has open."""

from __future__ import annotations

import base64

import pytest

from p2phub.http.exchange import Request
from p2phub.http.guard import Door, check_asker, check_origin
from p2phub.http.refusal import Refusal
from p2phub.http.whose import NOBODY
from tests.support.covers import covers

TOKEN = "p2phub_0123456789abcdef"
HERE = Door("127.0.0.1", 7700, TOKEN)
LAN = Door("192.168.1.5", 7700, TOKEN)
ALL = Door("0.0.0.0", 7700, TOKEN)


def status_of(
    door: Door,
    headers: dict[str, str],
    *,
    changes: bool = False,
    came_to: str | None = None,
    user: int | None = None,
) -> int:
    """Return 200, or what the request is refused with."""
    try:
        request = Request("GET", "/", headers, came_to or door.ip, user)
        check_origin(door, request)
        check_asker(door, request, changes=changes)
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize("host", ["127.0.0.1:7700", "localhost:7700", "LOCALHOST:7700", "[::1]:7700"])
def test_a_program_of_this_machine_reads_without_a_token(host: str) -> None:
    assert status_of(HERE, {"host": host}) == 200


@covers("T43")
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7700",
        "localhost.evil.example:7700",
        "127.0.0.1.evil.example:7700",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:80",
        "127.0.0.1:7701",
        "127.0.0.1:07700",
        "0.0.0.0:7700",
        "127.1:7700",
        "2130706433:7700",
        "192.168.1.5:7700",
        "",
        "127.0.0.1:7700, evil.example",
    ],
)
def test_a_name_that_was_made_to_lead_here_is_refused(host: str) -> None:
    assert status_of(HERE, {"host": host}) == 403
    assert status_of(HERE, {}) == 403


@covers("T44", "T45")
@pytest.mark.parametrize(
    "said",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:7701"},
        {"origin": "https://127.0.0.1:7700"},
        {"origin": "http://localhost:7700"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"origin": "http://127.0.0.1:7700", "sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_is_told_nothing_even_with_the_token(said: dict[str, str]) -> None:
    headers = {"host": "127.0.0.1:7700", **said, "authorization": f"Bearer {TOKEN}"}
    assert status_of(HERE, headers) == 403
    assert status_of(HERE, headers, changes=True) == 403


def test_our_own_page_and_what_a_person_typed_are_answered() -> None:
    for said in ({"origin": "http://127.0.0.1:7700", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert status_of(HERE, {"host": "127.0.0.1:7700", **said}) == 200


@covers("T44")
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer hf_somebodys_own", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer \xff", 401),
    ],
)
def test_what_changes_something_takes_the_token(authorization: str, status: int) -> None:
    headers = {"host": "127.0.0.1:7700", "authorization": authorization}
    assert status_of(HERE, headers, changes=True) == status
    assert status_of(HERE, headers) == 200


def test_beyond_loopback_whoever_asks_for_anything_takes_the_token() -> None:
    headers = {"host": "192.168.1.5:7700"}
    assert status_of(LAN, headers) == 401
    assert status_of(LAN, {**headers, "authorization": f"Bearer {TOKEN}"}) == 200
    assert status_of(ALL, headers, came_to="192.168.1.5") == 401
    assert status_of(ALL, {**headers, "authorization": f"Bearer {TOKEN}"}, came_to="192.168.1.5") == 200
    assert status_of(ALL, {"host": "evil.example:7700"}, came_to="192.168.1.5") == 403
    assert status_of(LAN, {"host": "localhost:7700"}) == 403


@covers("T44")
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (f"whoever:{TOKEN}", 200),
        (f":{TOKEN}", 200),
        (f"{TOKEN}:", 401),
        (TOKEN, 401),
        (f"whoever:{TOKEN}x", 401),
        (f"a:b:{TOKEN}", 401),
        ("whoever:", 401),
        ("", 401),
    ],
)
def test_the_token_as_a_password_reads_and_changes_nothing(said: str, status: int) -> None:
    encoded = base64.b64encode(said.encode()).decode()
    for kind in ("Basic", "basic"):
        headers = {"host": "192.168.1.5:7700", "authorization": f"{kind} {encoded}"}
        assert status_of(LAN, headers) == status
        assert status_of(LAN, headers, changes=True) == 401
    assert status_of(HERE, {"host": "127.0.0.1:7700", "authorization": f"Basic {encoded}"}, changes=True) == 401


@pytest.mark.parametrize("said", ["***", "Zg", "Zm9v\n", "\u00e4", "===="])
def test_a_password_that_is_not_encoded_is_none(said: str) -> None:
    assert status_of(LAN, {"host": "192.168.1.5:7700", "authorization": f"Basic {said}"}) == 401


def test_a_url_of_an_ipv6_address_has_brackets() -> None:
    assert Door("::1", 7700, TOKEN).url == "http://[::1]:7700"
    assert Door("::1", 7700, TOKEN).is_loopback


@covers("T45")
@pytest.mark.parametrize(("user", "status"), [(1000, 200), (0, 200), (None, 200), (1001, 401), (NOBODY, 401)])
def test_on_loopback_another_user_takes_the_token_and_root_and_who_is_unknown_do_not(
    user: int | None, status: int
) -> None:
    door = Door("127.0.0.1", 7700, TOKEN, user=1000)
    assert status_of(door, {"host": "127.0.0.1:7700"}, user=user) == status
    assert status_of(door, {"host": "127.0.0.1:7700", "authorization": f"Bearer {TOKEN}"}, user=user) == 200


@covers("T45")
@pytest.mark.parametrize(("user", "status"), [(999, 200), (1001, 401), (NOBODY, 401)])
def test_a_user_whom_the_nodes_user_named_reads_and_changes_nothing(user: int, status: int) -> None:
    headers = {"host": "127.0.0.1:7700"}
    door = Door("127.0.0.1", 7700, TOKEN, user=1000, readers=frozenset({999}))
    assert status_of(door, headers, user=user) == status
    assert status_of(door, headers, user=user, changes=True) == 401
    beyond = Door("192.168.1.5", 7700, TOKEN, user=1000, readers=frozenset({999}))
    assert status_of(beyond, {"host": "192.168.1.5:7700"}, user=user) == 401

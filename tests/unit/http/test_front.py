"""Which site answers, and that nobody hears of a request that may not be made."""

from __future__ import annotations

import pytest

from p2phub.errors import HubError, NoProvider, NotTrusted
from p2phub.http.exchange import Exchange, Request
from p2phub.http.front import Access, Front, Site
from p2phub.http.refusal import Refusal
from tests.support.memory_exchange import DOOR, HOST, TOKEN, MemoryExchange


class Told:
    """A site that says its name. `takes` is what each of its requests takes, or how it refuses them."""

    def __init__(self, name: str, takes: Access | Refusal = Access.READ, error: HubError | None = None) -> None:
        self._name, self._takes, self._error = name, takes, error
        self.heard = 0

    def access(self, request: Request) -> Access:
        if isinstance(self._takes, Refusal):
            raise self._takes
        return self._takes

    async def answer(self, exchange: Exchange, host: str) -> None:
        self.heard += 1
        if self._error is not None:
            raise self._error
        await exchange.answer(200, [], f"{self._name} at {host}".encode())


async def ask(
    sites: dict[str, Site], target: str, method: str = "GET", user: int | None = None, **headers: str
) -> MemoryExchange:
    exchange = MemoryExchange(Request(method, target, {"host": HOST, **headers}, "127.0.0.1", user))
    await Front(DOOR, sites).handle(exchange)
    return exchange


@pytest.mark.parametrize(
    ("target", "whose"),
    [
        ("/v2/", "v2"),
        ("/v2", "v2"),
        ("/v2?x=/", "v2"),
        ("/v2/a/b", "v2"),
        ("/v22", "rest"),
        ("/%76%32/", "rest"),
        ("/", "root"),
        ("/?a=b", "root"),
        ("//", "rest"),
        ("", "rest"),
        ("//v2/", "rest"),
        ("/a/v2/", "rest"),
    ],
)
async def test_the_first_part_of_a_path_says_whose_it_is(target: str, whose: str) -> None:
    told = await ask({"v2": Told("v2"), "/": Told("root"), "": Told("rest")}, target)
    assert told.content == f"{whose} at {HOST}".encode()


async def test_what_is_nobodys_is_not_there() -> None:
    assert (await ask({"v2": Told("v2")}, "/")).status == 404


@pytest.mark.parametrize("takes", [*Access, Refusal(404, "nothing here")])
async def test_no_site_answers_a_page_of_another_origin(takes: Access | Refusal) -> None:
    site = Told("a", takes)
    for said in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert (await ask({"": site}, "/", **said)).status == 403
        assert (await ask({"": site}, "/", **said, authorization=f"Bearer {TOKEN}")).status == 403
    assert not site.heard


async def test_a_change_takes_the_token_and_what_is_open_takes_nothing() -> None:
    stranger = 12345  # Another user of this machine.
    for takes, of_ours, of_strangers in ((Access.OPEN, 200, 200), (Access.READ, 200, 401), (Access.CHANGE, 401, 401)):
        assert (await ask({"": Told("a", takes)}, "/")).status == of_ours
        assert (await ask({"": Told("a", takes)}, "/", user=stranger)).status == of_strangers
        assert (await ask({"": Told("a", takes)}, "/", user=stranger, authorization=f"Bearer {TOKEN}")).status == 200


async def test_who_may_not_ask_is_not_told_whether_there_is_such_a_thing() -> None:
    assert (await ask({"": Told("a", Refusal(404, "nothing"))}, "/")).status == 404
    assert (await ask({"": Told("a", Refusal(404, "nothing"))}, "/", user=12345)).status == 401
    assert (await ask({"v2": Told("a")}, "/", user=12345)).status == 401


@pytest.mark.parametrize(("error", "status"), [(NoProvider("nobody"), 503), (NotTrusted("no"), 403)])
async def test_what_a_site_cannot_do_is_told_with_a_status(error: HubError, status: int) -> None:
    told = await ask({"": Told("a", error=error)}, "/")
    assert (told.status, told.json) == (status, {"error": error.message})


class InOwnWords(Told):
    """Tells each refusal by its status and its site's name."""

    async def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        await exchange.answer(refusal.status, [], f"{self._name}: {refusal.status}".encode())


async def test_a_site_tells_refusals_of_its_paths_in_its_own_words_and_of_no_others() -> None:
    sites: dict[str, Site] = {
        "v2": InOwnWords("v2", error=NoProvider("nobody")),
        "": Told("rest", error=HubError("no")),
    }
    assert (await ask(sites, "/v2/a")).content == b"v2: 503"
    assert (await ask(sites, "/v2/a", user=12345)).content == b"v2: 401"
    assert (await ask(sites, "/v2/a", host="evil.example")).content == b"v2: 403"
    assert (await ask(sites, "/a")).json == {"error": "no"}
    refused: dict[str, Site] = {"v2": InOwnWords("v2", Refusal(404, "nothing"))}
    assert (await ask(refused, "/v2/a")).content == b"v2: 404"
    assert (await ask(refused, "/a")).status == 404

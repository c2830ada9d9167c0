"""Who may ask at all: programs of this machine's user, and no web page that a browser of theirs has open. Pure.

    T43  a page whose name was made to lead here (DNS rebinding) says that name in Host: only addresses are let in,
         with our port, and `localhost`
    T44  what changes something takes the gateway's token, which no page has, and comes from no other origin
    T45  a page of another origin is told nothing: its browser says so in Origin or Sec-Fetch-Site; and no answer
         ever has a header that would let it read (CORS)

On loopback who reads needs no token, if it is a program of the user whose node it is, or of root: it could read the
files; or of one whom that user named, such as the one that Ollama runs as. Other users of this machine could not, and
anybody else: every request of theirs takes the token, as `Authorization: Bearer`, which is how clients send HF_TOKEN.
To read it also counts as the password of `Basic`, whoever the user, which is how `docker login` and `oras login` send
it; not to change something, since a browser that was once given a password adds it to requests by itself.
"""

from __future__ import annotations

import binascii
import hmac
import ipaddress

import msgspec

from p2phub.http.exchange import Request
from p2phub.http.refusal import Refusal

_ROOT = 0
_SAME_SITE = ("same-origin", "none")  # Our own page, and what a person typed.


class Door(msgspec.Struct, frozen=True):
    """Where the gateway listens: `ip` and `port`; `token` is what opens it from elsewhere, and to changes; `user` is
    whose it is (uid), `readers` are others of this machine whose programs may read as that user's may."""

    ip: str
    port: int
    token: str
    user: int | None = None
    readers: frozenset[int] = frozenset()

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.ip).is_loopback

    @property
    def url(self) -> str:
        return f"http://{_in_url(self.ip)}:{self.port}"


def check_origin(door: Door, request: Request) -> str:
    """Return the request's Host, from which absolute URLs are made. Raises Refusal(403) if it is none of ours, or if a
    page of somebody else's has it made."""
    host = request.headers.get("host", "").strip().lower()
    if host not in _hosts(door, request.came_to):
        raise Refusal(403, "the Host of this request is none of the gateway's: use " + door.url)
    origin = request.headers.get("origin")
    if origin is not None and origin.strip().lower() != f"http://{host}":
        raise Refusal(403, "pages of other origins are told nothing")
    if request.headers.get("sec-fetch-site", "none").strip().lower() not in _SAME_SITE:
        raise Refusal(403, "pages of other sites are told nothing")
    return host


def check_asker(door: Door, request: Request, *, changes: bool) -> None:
    """Raise Refusal(401) for want of a token. `changes`: whether it asks for something to be changed."""
    is_ours = door.is_loopback and (request.user is None or request.user in (door.user, _ROOT, *door.readers))
    if (changes or not is_ours) and not _has_token(door, request.headers.get("authorization", ""), basic=not changes):
        raise Refusal(
            401,
            "this takes the gateway's token, as HF_TOKEN: it stands in keys/gateway.token of the node's home",
            headers=[("WWW-Authenticate", "Bearer")],
        )


def _hosts(door: Door, came_to: str) -> set[str]:
    names = {f"{_in_url(door.ip)}:{door.port}", f"{_in_url(came_to)}:{door.port}"}
    if door.is_loopback or ipaddress.ip_address(door.ip).is_unspecified:
        names |= {f"localhost:{door.port}", f"127.0.0.1:{door.port}", f"[::1]:{door.port}"}
    if door.port == 80:
        names |= {name.removesuffix(":80") for name in names}  # Which is left out of a Host.
    return names


def _has_token(door: Door, authorization: str, *, basic: bool) -> bool:
    """Whether a request has the token; `basic`: whether as a password, too."""
    kind, _, said = authorization.strip().partition(" ")
    token = said.strip().encode()
    if basic and kind.lower() == "basic":
        try:
            token = binascii.a2b_base64(token, strict_mode=True).partition(b":")[2]
        except ValueError:
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(token, door.token.encode())


def _in_url(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip

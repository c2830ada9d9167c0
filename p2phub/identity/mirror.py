"""A mirror: a web server that holds the files of a manifest, named by the URL below which they stand.

It is no peer: it proves no key, only (over TLS) that it is the host of its name, and what it sends counts for nothing
until its digest was checked. So it has no peer id; the URL is who it is. A `SourceId` is whoever bytes can come from.

URLs are read strictly, in one spelling: what is checked must be what is dialled, and the many ways in which lenient
readers take one host for another (userinfo, `0x7f.1`, zones, backslashes) are refused. Source: proto/mirror.md §1.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from p2phub import limits
from p2phub.errors import Malformed, UsageError
from p2phub.identity.peer_id import PeerId

PORTS = {"https": 443, "http": 80}
# Texts, which `re` compiles when there is a mirror.
_URL = (
    r"(?P<scheme>[A-Za-z]+)://"
    r"(?:\[(?P<ip6>[0-9A-Fa-f:.]+)\]|(?P<host>[^/?#:@\[\]\\%]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?"
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NUMBER = r"[0-9]+|0x[0-9a-f]*"  # A host that ends in one is an address to lenient readers.
_PATH = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
_QUERY = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"


class WebUrl(msgspec.Struct, frozen=True, order=True):
    """`host` in lower case or a canonical IP address, IPv6 without brackets; `target` begins with "/" and is sent as it
    stands, its query included."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def authority(self) -> str:
        """Host and port, as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host, where it is an address and no name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_loopback(self) -> bool:
        """Whether it names this machine: `localhost` or a loopback address, as spelt, without looking it up."""
        return self.host == "localhost" or (self.ip is not None and self.ip.is_loopback)


class MirrorId(msgspec.Struct, frozen=True, order=True):
    """A mirror. `url` has no query, and no "/" at its end beyond a bare host's."""

    url: WebUrl

    def __str__(self) -> str:
        return str(self.url).rstrip("/")


SourceId = PeerId | MirrorId
"""Whoever chunks can come from: hashable, and in text what users are shown."""


def parse_mirror(text: str) -> MirrorId:
    """Read the URL of a mirror, as a user gives it. Raises UsageError."""
    hint = "a mirror is https://HOST[:PORT]/FOLDER, below which the files stand; http:// on this machine only"
    try:
        url = parse_web_url(text)
    except Malformed as exc:
        raise UsageError(f"not the URL of a mirror: {without_secrets(text)!r}: {exc.what}", hint=hint) from exc
    if "?" in url.target or "#" in text:
        raise UsageError(f"the URL of a mirror has no query and no fragment: {without_secrets(text)!r}", hint=hint)
    return MirrorId(WebUrl(url.scheme, url.host, url.port, url.target.rstrip("/") or "/"))


def without_secrets(text: str) -> str:
    """Return what a user gave as a URL as it may be shown and logged: no password, no query, in which tokens stand."""
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "", text
    _, at, rest = rest.rpartition("@")  # The last one: a password may hold anything.
    rest, query, _ = rest.partition("?")
    return f"{scheme}{found}{'…@' if at else ''}{rest}"[:200] + ("?…" if query else "")


def parse_web_url(text: str) -> WebUrl:
    """Read an absolute URL; a fragment is dropped. Raises Malformed("mirror-url")."""
    if len(text) > limits.MIRROR_URL_BYTES_MAX:
        raise _not_one("it is too long")
    match = re.fullmatch(_URL, text)
    if match is None:
        raise _not_one("not SCHEME://HOST[:PORT][/PATH], the host without userinfo, zone, backslash or percent sign")
    scheme = match["scheme"].lower()
    if scheme not in PORTS:
        raise _not_one(f"its scheme is {scheme[:20]!r}")
    host = _ip6(match["ip6"]) if match["ip6"] is not None else _host(match["host"].lower())
    port = int(match["port"]) if match["port"] else PORTS[scheme]
    if not 0 < port <= 65535:
        raise _not_one(f"there is no port {port}")
    path, query = match["path"] or "/", match["query"] or ""
    if not re.fullmatch(_PATH, path) or not re.fullmatch(_QUERY, query):
        raise _not_one("a character that must be percent-encoded")
    if any(part.lower().replace("%2e", ".") in (".", "..") for part in path.split("/")):
        raise _not_one("a path with . or ..")
    url = WebUrl(scheme, host, port, path + query)
    if scheme == "http" and not url.is_loopback:
        raise _not_one("http:// is for this machine only: anybody on the way could read and change it")
    return url


def _host(host: str) -> str:
    labels = host.split(".")
    if len(host) > 253 or not all(re.fullmatch(_LABEL, label) for label in labels):
        raise _not_one("its host is no name (of other letters than a-z, give the xn-- form)")
    if not re.fullmatch(_NUMBER, labels[-1]):
        return host
    try:
        return str(ipaddress.IPv4Address(host))  # Four decimal numbers, without leading zeros.
    except ValueError:
        raise _not_one("its host is a number that is not spelt as an address is") from None


def _ip6(text: str) -> str:
    try:
        number = ipaddress.IPv6Address(text)
    except ValueError:
        raise _not_one("its host is no IPv6 address") from None
    return str(number.ipv4_mapped or number)


def _not_one(why: str) -> Malformed:
    return Malformed("mirror-url", why)

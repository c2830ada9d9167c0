"""Vectors of proto/mirror.md."""

from __future__ import annotations

from p2phub import limits
from tests.support.vectors.build import ALICE, Case, breaks, digest, gives, key_of
from tests.support.vectors.identifiers import peer_text

HOST = "models.example.org"


def urls() -> dict[str, list[Case]]:
    def url(says: str, text: str, host: str, port: int, target: str, *, scheme: str = "https") -> Case:
        return gives(says, {"scheme": scheme, "host": host, "port": port, "target": target}, text=text)

    def bad(says: str, text: str) -> Case:
        return breaks(says, "mirror-url", text=text)

    return {
        "parse-web-url": [
            url("a folder of a host", f"https://{HOST}/llama", HOST, 443, "/llama"),
            url("a host alone", f"https://{HOST}", HOST, 443, "/"),
            url("upper case in scheme and host", "HTTPS://Models.Example.ORG:443/Llama", HOST, 443, "/Llama"),
            url("a port, a query and a fragment", f"https://{HOST}:8443/a%20b?x=%2F#y", HOST, 8443, "/a%20b?x=%2F"),
            url("an IPv4 address", "https://192.0.2.7/x", "192.0.2.7", 443, "/x"),
            url("an IPv6 address, not in its shortest form", "https://[2001:DB8:0::7]/x", "2001:db8::7", 443, "/x"),
            url("IPv4 written as IPv6", "https://[::ffff:192.0.2.7]/x", "192.0.2.7", 443, "/x"),
            url("other letters, as xn--", "https://xn--bcher-kva.example/x", "xn--bcher-kva.example", 443, "/x"),
            url("this machine without TLS", "http://127.0.0.1:8000/x", "127.0.0.1", 8000, "/x", scheme="http"),
            url("localhost without TLS", "http://localhost/x", "localhost", 80, "/x", scheme="http"),
            bad("empty", ""),
            bad("no scheme", f"{HOST}/x"),
            bad("another scheme", f"ftp://{HOST}/x"),
            bad("no host", "https:///x"),
            bad("userinfo", f"https://user@{HOST}/x"),
            bad("a host that looks like userinfo", f"https://{HOST}\\@10.0.0.1/x"),
            bad("a zone", "https://[fe80::1%25eth0]/x"),
            bad("a name in brackets", "https://[localhost]/x"),
            bad("an address as one number", "https://2130706433/x"),
            bad("an address as one number in hex", "https://0x7f000001/x"),
            bad("an address with parts left out", "https://127.1/x"),
            bad("an address in octal", "https://0177.0.0.1/x"),
            bad("a name that ends in a number", "https://host.7/x"),
            bad("a percent sign in the host", "https://127%2e0.0.1/x"),
            bad("a dot at the end of the host", f"https://{HOST}./x"),
            bad("letters beyond ASCII in the host", "https://bücher.example/x"),
            bad("digits beyond ASCII in the host", "https://１27.0.0.1/x"),
            bad("a label of 64 letters", "https://" + "a" * 64 + ".example/x"),
            bad("a line end", f"https://{HOST}/x\r\nHost: other"),
            bad("a space in the path", f"https://{HOST}/a b"),
            bad("a broken percent sign", f"https://{HOST}/a%2"),
            bad("a path that goes up", f"https://{HOST}/a/../b"),
            bad("a path that goes up, in disguise", f"https://{HOST}/a/%2e%2E/b"),
            bad("port 0", f"https://{HOST}:0/x"),
            bad("a port that is too high", f"https://{HOST}:65536/x"),
            bad("a port with a sign", f"https://{HOST}:+1/x"),
            bad("another machine without TLS", f"http://{HOST}/x"),
            bad("a private address without TLS", "http://192.168.0.7/x"),
            bad("too long", f"https://{HOST}/" + "x" * limits.MIRROR_URL_BYTES_MAX),
        ]
    }  # fmt: skip


def paths() -> dict[str, list[Case]]:
    named = digest(b"hello")
    text = "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4"
    publisher = peer_text(key_of(ALICE))
    return {
        "mirror-blob-path": [
            gives("a blob", {"path": f".p2phub/mirror/blobs/{text}"}, digest=named.hex()),
        ],
        "mirror-release-path": [
            gives(
                "a release",
                {"path": f".p2phub/mirror/releases/{publisher}/minilm/main"},
                publisher=publisher,
                name="minilm",
                tag="main",
            ),
        ],
    }


def files() -> dict[str, tuple[str, dict[str, list[Case]]]]:
    """Return path below proto/vectors to its section and groups."""
    return {"mirror/urls.json": ("mirror.md §1", urls()), "mirror/paths.json": ("mirror.md §2", paths())}

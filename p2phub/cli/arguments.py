"""What a user typed for a command, checked before anything is done: what does not fit is a usage error."""

from __future__ import annotations

from argparse import ArgumentParser, _ArgumentGroup
from collections.abc import Callable, Sequence

from p2phub import api
from p2phub.errors import Malformed, UsageError

Arguments = ArgumentParser | _ArgumentGroup
"""What takes arguments: a parser, or a group of one, under whose title its help shows them."""


def add_sources(parser: Arguments) -> None:
    """Add the options that name sources to ask before any other."""
    parser.add_argument(
        "--provider",
        metavar="MULTIADDR",
        action="append",
        default=[],
        help="ask this node before any other: /ip4/IP/tcp/PORT/p2p/PEER; may be repeated",
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        action="append",
        default=[],
        help="a web server below whose URL the files stand, as a source beside the peers; may be repeated",
    )


def add_allow_unsafe(parser: Arguments) -> None:
    """Add the option that allows what a fetch refuses; without it the settings decide."""
    parser.add_argument(
        "--allow-unsafe",
        action="store_const",
        const=True,
        help="put files in place, too, that may run code when they are loaded: pickles, also within archives",
    )


def check_providers(providers: Sequence[str]) -> None:
    """Raise UsageError unless each is a multiaddr that ends in /p2p/PEER: whom we dial must be known."""
    _check(
        "--provider",
        providers,
        api.parse_peer_address,
        hint="write /ip4/IP/tcp/PORT/p2p/PEER, as `p2phub node` prints its addresses",
    )


def check_mirrors(mirrors: Sequence[str]) -> None:
    """Raise UsageError unless each is the URL of a mirror."""
    for mirror in mirrors:
        try:
            api.check_mirror(mirror)
        except UsageError as error:
            raise UsageError(f"--mirror: {error.message}", hint=error.hint) from error


def check_wait(wait: str | None) -> None:
    """Raise UsageError unless it is a duration, or not given."""
    try:
        if wait is not None:
            api.parse_duration(wait)
    except UsageError as error:
        raise UsageError(f"--wait: {error.message}", hint=error.hint) from error


def check_peers(option: str, peers: Sequence[str]) -> None:
    """Raise UsageError unless each is a peer id."""
    _check(option, peers, api.parse_peer_id, hint="a peer id begins with 12D3Koo; `p2phub status` shows a node's own")


def check_name_and_tag(name: str, tag: str) -> None:
    """Raise UsageError unless a repository may be called so."""
    _check("--name", [name], api.check_name)
    _check("--tag", [tag], lambda text: api.check_name(text, what="tag"))


def _check(option: str, texts: Sequence[str], read: Callable[[str], object], hint: str | None = None) -> None:
    for text in texts:
        try:
            read(text)
        except Malformed as exc:
            raise UsageError(f"{option} {text[:200]}: {exc.message}", hint=exc.hint or hint) from exc

"""The options of every command, which may stand before or after its name, and their environment variables.

Those that `open_hub` takes have their variables read there, so they stay None, or empty, where they are not given; only
P2PHUB_JSON and P2PHUB_VERBOSE are read here.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from p2phub.errors import UsageError


class Settings(TypedDict):
    """What `open_hub` and `run_node` take."""

    home: str | None
    lan: bool | None
    bootstrap: tuple[str, ...]
    listen: tuple[str, ...]
    up: str | None
    down: str | None


class Common(NamedTuple):
    """What the options of every command say. None, or empty: not given."""

    json: bool = False
    home: str | None = None
    lan: bool | None = None
    bootstrap: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    up: str | None = None
    down: str | None = None
    verbose: int = 0

    def settings(self) -> Settings:
        """Return those that the library takes."""
        return Settings(
            home=self.home, lan=self.lan, bootstrap=self.bootstrap, listen=self.listen, up=self.up, down=self.down
        )


def options_parser(parser: ArgumentParser) -> ArgumentParser:
    """Give `parser` the options, and nothing else."""
    group = parser.add_argument_group("options of every command, before or after its name")
    group.add_argument("--json", action="store_true", help="print JSON objects, one a line (P2PHUB_JSON=1)")
    group.add_argument("--home", metavar="DIR", help="where keys, index and settings are (P2PHUB_HOME)")
    group.add_argument("--no-lan", action="store_true", help="do not look on the local network (P2PHUB_NO_LAN=1)")
    group.add_argument(
        "--bootstrap",
        metavar="MULTIADDR",
        action="append",
        default=[],
        help="a node to find the network by: /ip4/IP/tcp/PORT/p2p/PEER; may be repeated (P2PHUB_BOOTSTRAP)",
    )
    group.add_argument(
        "--listen",
        metavar="IP:PORT",
        action="append",
        default=[],
        help="where the node listens; may be repeated (P2PHUB_LISTEN)",
    )
    group.add_argument(
        "--up",
        metavar="RATE",
        help="cap on sending, bytes a second: 500kB, 20MB (10^6), 20MiB (2^20) or none (P2PHUB_UP)",
    )
    group.add_argument("--down", metavar="RATE", help="cap on receiving (P2PHUB_DOWN)")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log to stderr what is done; twice for more (P2PHUB_VERBOSE=1)",
    )
    return parser


def wants_json(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether output is to be JSON, told from the bare words, for errors in the others."""
    options = words[: words.index("--")] if "--" in words else words
    try:
        return "--json" in options or _flag(environment, "P2PHUB_JSON")
    except UsageError:
        return False


def take_common(
    words: Sequence[str], parser: ArgumentParser, environment: Mapping[str, str]
) -> tuple[Common, list[str]]:
    """Take the options out of `words`, wherever they stand before a `--`; return them and the other words.

    `parser` is one from `options_parser`. What is not given comes from the environment. Raises UsageError.
    """
    end = words.index("--") if "--" in words else len(words)
    args, rest = parser.parse_known_args(words[:end])
    common = Common(
        json=args.json or _flag(environment, "P2PHUB_JSON"),
        home=args.home,
        lan=False if args.no_lan else None,
        bootstrap=tuple(args.bootstrap),
        listen=tuple(args.listen),
        up=args.up,
        down=args.down,
        verbose=args.verbose + _flag(environment, "P2PHUB_VERBOSE"),
    )
    return common, [*rest, *words[end:]]


def _flag(environment: Mapping[str, str], name: str) -> bool:
    """Read a variable that is on or off. Raises UsageError."""
    value = environment.get(name, "").strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise UsageError(f"{name} is neither on nor off: {value[:40]!r}", hint=f"set {name}=1 or leave it out")

"""What stands at the ports of `p2phub node` beside the node's own: the gateway with its page, and what watches it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from p2phub import api
from p2phub.cli.parser import program_version
from p2phub.errors import UsageError

if TYPE_CHECKING:
    from p2phub.http.serving import OpenSites, SitesAt

GATEWAY_DEFAULT = "127.0.0.1:7700"
METRICS_DEFAULT = "127.0.0.1:7701"


def add_ports(parser: ArgumentParser) -> None:
    """Add the options that say what stands where."""
    parser.add_argument(
        "--gateway",
        metavar="IP:PORT",
        nargs="?",
        const=GATEWAY_DEFAULT,
        help="serve Hugging Face tools, OCI clients, Ollama and a page over HTTP "
        f"(default: {GATEWAY_DEFAULT}); beyond loopback only with its token",
    )
    parser.add_argument(
        "--gateway-user",
        metavar="USER",
        action="append",
        default=[],
        help="another user of this machine whose programs read through it without the token, such as Ollama's own; may "
        "be repeated",
    )
    parser.add_argument(
        "--gateway-uploads",
        action="store_true",
        default=None,
        help="let tools that have the gateway's token as HF_TOKEN publish: hf upload ORG/NAME FOLDER "
        "(P2PHUB_GATEWAY_UPLOADS=1)",
    )
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help="a hub of the Hugging Face kind, which the gateway asks for what nothing here is called; what comes is "
        "kept and, where it needed no token (keys/upstream.token), shared",
    )
    parser.add_argument(
        "--metrics",
        metavar="IP:PORT",
        nargs="?",
        const=METRICS_DEFAULT,
        help=f"/metrics, /healthz and /readyz at a port of their own (default: {METRICS_DEFAULT}), with or without the "
        "gateway, where they stand, too",
    )


def ports_of(args: Namespace) -> tuple[SitesAt | None, SitesAt | None]:
    """Return what is to stand at the gateway's port, and at that of the metrics.

    Raises UsageError for no address, for users that this machine has not, and for what is about a gateway without one.
    """
    about_it = {
        "--gateway-user": args.gateway_user,
        "--gateway-uploads": args.gateway_uploads,
        "--upstream": args.upstream,
    }
    for option, said in about_it.items():
        if said and args.gateway is None:  # Of settings it is no mistake: they are for whenever there is one.
            raise UsageError(f"{option} is about a gateway", hint="say --gateway, too")
    if args.gateway is None and args.metrics is None:  # As most nodes are.
        return None, None
    from p2phub.http.serving import SitesAt
    from p2phub.http.traffic import Traffic
    from p2phub.operations.sites import operations_sites

    traffic = Traffic()  # Of both ports.
    watching: list[OpenSites] = [operations_sites(traffic, version=program_version())]

    def sites_at(option: str, text: str, default: str, opens: Sequence[OpenSites], readers: Iterable[int]) -> SitesAt:
        try:
            return SitesAt(api.parse_listen(text), opens, traffic, option=option, readers=readers)
        except UsageError as error:
            hint = f"like {default} or [::1]:{default.rpartition(':')[2]}"
            raise UsageError(f"{option}: {error.message}", hint=hint) from error

    at_metrics = (
        sites_at("--metrics", args.metrics, METRICS_DEFAULT, watching, ()) if args.metrics is not None else None
    )
    if args.gateway is None:
        return None, at_metrics
    from p2phub.gateway.sites import gateway_sites
    from p2phub.web.sites import page_sites

    readers = [_uid_of(user) for user in args.gateway_user]
    opens = [gateway_sites, page_sites, *watching]
    return sites_at("--gateway", args.gateway, GATEWAY_DEFAULT, opens, readers), at_metrics


def _uid_of(user: str) -> int:
    import pwd  # Not on Windows.

    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError) as error:  # ValueError: for what no name can be.
        raise UsageError(f"--gateway-user: this machine has no user {user!r}") from error

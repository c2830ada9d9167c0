"""What stands at the ports of `p2phub node` beside the node's own: the gateway with its page, and what watches it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from p2phub import api
from p2phub.cli.parser import program_version
from p2phub.errors import UsageError

if TYPE_CHECKING:
    from p2phub.http.serving import OpenSites, SitesAt


def add_ports(parser: ArgumentParser) -> None:
    """Add the options that say what stands where."""
    parser.add_argument(
        "--gateway",
        metavar="IP:PORT",
        nargs="?",
        const=True,
        help="serve Hugging Face tools, OCI clients, Ollama and a page over HTTP "
        "(default: 127.0.0.1:7700; P2PHUB_GATEWAY); beyond loopback only with its token",
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
        const=True,
        help="/metrics, /healthz and /readyz at a port of their own (default: 127.0.0.1:7701; P2PHUB_METRICS), with or "
        "without the gateway, where they stand, too",
    )


def ports_of(args: Namespace, settings: api.Config) -> tuple[SitesAt | None, SitesAt | None]:
    """Return what is to stand at the gateway's port, and at that of the metrics.

    Raises UsageError for users that this machine has not, and for options that are about a gateway without one.
    """
    about_it = {
        "--gateway-user": args.gateway_user,
        "--gateway-uploads": args.gateway_uploads,
        "--upstream": args.upstream,
    }
    for option, said in about_it.items():
        if said and settings.gateway is None:  # Of settings it is no mistake: they are for whenever there is one.
            raise UsageError(f"{option} is about a gateway", hint="say --gateway, too")
    if settings.gateway is None and settings.metrics is None:  # As most nodes are.
        return None, None
    from p2phub.http.serving import SitesAt
    from p2phub.http.traffic import Traffic
    from p2phub.operations.sites import operations_sites

    traffic = Traffic()  # Of both ports.
    watching: list[OpenSites] = [operations_sites(traffic, version=program_version())]
    at_metrics = SitesAt(settings.metrics, watching, traffic, option="--metrics") if settings.metrics else None
    if settings.gateway is None:
        return None, at_metrics
    from p2phub.gateway.sites import gateway_sites
    from p2phub.web.sites import page_sites

    readers = [_uid_of(user) for user in settings.gateway_users]
    opens = [gateway_sites, page_sites, *watching]
    return SitesAt(settings.gateway, opens, traffic, option="--gateway", readers=readers), at_metrics


def _uid_of(user: str) -> int:
    import pwd  # Not on Windows.

    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError) as error:  # ValueError: for what no name can be.
        hint = "--gateway-user, P2PHUB_GATEWAY_USERS or gateway_users in config.toml names it"
        raise UsageError(f"--gateway-user: this machine has no user {user!r}", hint=hint) from error

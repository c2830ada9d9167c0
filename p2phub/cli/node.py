"""`p2phub node`: the daemon. Announces and serves what this home holds until it is stopped."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from p2phub import api
from p2phub.cli.command import Command, Invocation
from p2phub.errors import UsageError

if TYPE_CHECKING:
    from p2phub.http.serving import SitesAt

GATEWAY_DEFAULT = "127.0.0.1:7700"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--bulk-processes",
        metavar="N",
        type=int,
        help="processes that carry bulk bytes beside the node's own (default: 1); 0: its own threads do",
    )
    parser.add_argument(
        "--gateway",
        metavar="IP:PORT",
        nargs="?",
        const=GATEWAY_DEFAULT,
        help=f"serve Hugging Face tools over HTTP (default: {GATEWAY_DEFAULT}); beyond loopback only with its token",
    )


async def run(call: Invocation) -> int:
    output = call.output
    gateway = _gateway(call.args.gateway) if call.args.gateway is not None else None

    def show(event: api.Event) -> None:
        output.event(event)
        match event:
            case api.Ready():
                output.say(f"Node {event.peer_id} is up, and can be dialled at", *(f"  {a}" for a in event.addresses))
                output.note(f"It publishes as {event.publisher_id}. Ctrl-C stops it.")
                if event.gateway is not None:
                    output.say("Hugging Face tools find what is here with", f"  export HF_ENDPOINT={event.gateway}")
            case api.Stopped():
                output.say("Stopped: nothing is announced or served any more. What is held here stays.")
                output.note("`p2phub node` serves it again; a fetch that was under way goes on with its own command.")

    if gateway is not None:
        await gateway.listen()
    try:
        settings = call.common.settings()
        await api.run_node(**settings, bulk_processes=call.args.bulk_processes, gateway=gateway, watch=show)
    finally:
        if gateway is not None:
            gateway.close()
    return 0


def _gateway(text: str) -> SitesAt:
    """Raises UsageError for what is no address."""
    from p2phub.gateway.sites import gateway_sites  # Most nodes have none.
    from p2phub.http.serving import SitesAt

    try:
        return SitesAt(api.parse_listen(text), [gateway_sites])
    except UsageError as error:
        raise UsageError(f"--gateway: {error.message}", hint=f"like {GATEWAY_DEFAULT} or [::1]:7700") from error


COMMAND = Command(
    "node",
    "run the daemon: announce and serve until stopped",
    add_arguments,
    run,
    description="Announces and serves what this home holds, until Ctrl-C or SIGTERM. Other commands of the same home "
    "use it while it runs.",
    interrupted="it was not up yet; the same command starts again",
)

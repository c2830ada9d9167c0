"""`p2phub node`: the daemon. Announces and serves what this home holds until it is stopped."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2phub import api
from p2phub.cli.command import Command, Invocation
from p2phub.cli.logs import log_as_json
from p2phub.cli.parser import program_version
from p2phub.errors import UsageError

if TYPE_CHECKING:
    from p2phub.http.serving import OpenSites, SitesAt
    from p2phub.http.traffic import Traffic

GATEWAY_DEFAULT = "127.0.0.1:7700"
METRICS_DEFAULT = "127.0.0.1:7701"


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
    parser.add_argument(
        "--metrics",
        metavar="IP:PORT",
        nargs="?",
        const=METRICS_DEFAULT,
        help=f"/metrics, /healthz and /readyz at a port of their own (default: {METRICS_DEFAULT}), with or without the "
        "gateway, where they stand, too",
    )
    parser.add_argument(
        "--log-json", action="store_true", help="write the log to stderr as JSON, an object a line (P2PHUB_LOG=json)"
    )


async def run(call: Invocation) -> int:
    import trio

    from p2phub.operations.systemd import notifier

    output, systemd = call.output, notifier()
    if call.args.log_json or api.log_format(home=call.common.home) == "json":
        log_as_json(output)
    gateway, metrics = _ports(call.args.gateway, call.args.metrics)

    def show(event: api.Event) -> None:
        output.event(event)
        match event:
            case api.Ready():
                systemd.ready(f"node {event.peer_id} is up")
                output.say(f"Node {event.peer_id} is up, and can be dialled at", *(f"  {a}" for a in event.addresses))
                output.note(f"It publishes as {event.publisher_id}. Ctrl-C stops it.")
                if event.gateway is not None:
                    output.say("Hugging Face tools find what is here with", f"  export HF_ENDPOINT={event.gateway}")
                if event.metrics is not None:
                    output.say(f"Metrics: {event.metrics}/metrics")
            case api.Stopped():
                output.say("Stopped: nothing is announced or served any more. What is held here stays.")
                output.note("`p2phub node` serves it again; a fetch that was under way goes on with its own command.")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(systemd.keep_alive)
        await api.run_node(
            **call.common.settings(),
            bulk_processes=call.args.bulk_processes,
            gateway=gateway,
            metrics=metrics,
            watch=show,
        )
        nursery.cancel_scope.cancel()
    return 0


def _ports(gateway: str | None, metrics: str | None) -> tuple[SitesAt | None, SitesAt | None]:
    """Return what is to stand at the gateway's port, and at that of the metrics. Raises UsageError for no address."""
    if gateway is None and metrics is None:  # As most nodes are.
        return None, None
    from p2phub.http.traffic import Traffic
    from p2phub.operations.sites import operations_sites

    traffic = Traffic()  # Of both ports.
    watching: list[OpenSites] = [operations_sites(traffic, version=program_version())]
    at_metrics = None if metrics is None else _sites_at("--metrics", metrics, watching, traffic, METRICS_DEFAULT)
    if gateway is None:
        return None, at_metrics
    from p2phub.gateway.sites import gateway_sites

    return _sites_at("--gateway", gateway, [gateway_sites, *watching], traffic, GATEWAY_DEFAULT), at_metrics


def _sites_at(option: str, text: str, opens: Sequence[OpenSites], traffic: Traffic, default: str) -> SitesAt:
    from p2phub.http.serving import SitesAt

    try:
        return SitesAt(api.parse_listen(text), opens, traffic, option=option)
    except UsageError as error:
        raise UsageError(
            f"{option}: {error.message}", hint=f"like {default} or [::1]:{default.rpartition(':')[2]}"
        ) from error


COMMAND = Command(
    "node",
    "run the daemon: announce and serve until stopped",
    add_arguments,
    run,
    description="Announces and serves what this home holds, until Ctrl-C or SIGTERM. Other commands of the same home "
    "use it while it runs.",
    interrupted="it was not up yet; the same command starts again",
)

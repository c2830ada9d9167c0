"""`p2phub node`: the daemon. Announces and serves what this home holds until it is stopped."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from p2phub import api
from p2phub.cli.command import Command, Invocation
from p2phub.cli.logs import log_as_json
from p2phub.cli.ports import add_ports, ports_of

if TYPE_CHECKING:
    from p2phub.http.guard import Door


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--bulk-processes",
        metavar="N",
        type=int,
        help="processes that carry bulk bytes beside the node's own (default: 1); 0: its own threads do",
    )
    add_ports(parser)
    parser.add_argument(
        "--log-json", action="store_true", help="write the log to stderr as JSON, an object a line (P2PHUB_LOG=json)"
    )


async def run(call: Invocation) -> int:
    import trio

    from p2phub.operations.systemd import notifier

    output, systemd = call.output, notifier()
    running = trio.CancelScope()
    settings = api.daemon_settings(
        home=call.common.home,
        gateway=call.args.gateway,
        gateway_users=call.args.gateway_user,
        gateway_uploads=call.args.gateway_uploads,
        upstream=call.args.upstream,
        metrics=call.args.metrics,
    )
    if call.args.log_json or settings.log == "json":
        log_as_json(output)
    gateway, metrics = ports_of(call.args, settings)

    def show(event: api.Event) -> None:
        output.event(event)
        match event:
            case api.Ready():
                systemd.ready(f"node {event.peer_id} is up")
                output.say(f"Node {event.peer_id} is up, and can be dialled at", *(f"  {a}" for a in event.addresses))
                output.note(f"It publishes as {event.publisher_id}. Ctrl-C stops it.")
                if event.gateway is not None:
                    output.say("Hugging Face tools find what is here with", f"  export HF_ENDPOINT={event.gateway}")
                    if settings.gateway_uploads:
                        output.note("`hf upload ORG/NAME FOLDER` publishes, with HF_TOKEN as in keys/gateway.token.")
                    output.note(f"OCI clients and Ollama pull from {event.gateway.removeprefix('http://')}/ORG/NAME.")
                    if settings.upstream is not None:
                        output.say(f"What nothing here is called comes from {settings.upstream}.")
                if gateway is not None and gateway.door is not None:
                    output.say("A browser shows it, and lets you fetch and publish, at")
                    output.say(f"  {_page_of(gateway.door, is_read=output.columns is not None)}", whole=True)
                if event.metrics is not None:
                    output.say(f"Metrics: {event.metrics}/metrics")
                # It ends itself now, on the first signal; a second one is not to break that off, nor to call it failed.
                running.shield = not output.lost
            case api.Stopped():
                output.say("Stopped: nothing is announced or served any more. What is held here stays.")
                output.note("`p2phub node` serves it again; a fetch that was under way goes on with its own command.")

    ports = [each for each in (gateway, metrics) if each is not None]
    try:
        for port in ports:
            await port.listen()
        with running:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(systemd.keep_alive)
                await api.run_node(
                    **call.common.settings(),
                    bulk_processes=call.args.bulk_processes,
                    gateway_uploads=call.args.gateway_uploads,
                    upstream=call.args.upstream,
                    gateway=gateway,
                    metrics=metrics,
                    watch=show,
                )
                nursery.cancel_scope.cancel()
    finally:
        for port in ports:
            port.close()
    return 0


def _page_of(door: Door, *, is_read: bool) -> str:
    """Return the page's address, with the token where somebody reads it: behind `#`, which no browser sends. A log may
    be read by others."""
    return f"{door.url}/#token={door.token}" if is_read else f"{door.url}/ (its token: keys/gateway.token)"


COMMAND = Command(
    "node",
    "run the daemon: announce and serve until stopped",
    add_arguments,
    run,
    description="Announces and serves what this home holds, until Ctrl-C or SIGTERM. Other commands of the same home "
    "use it while it runs.",
    interrupted="it was not up yet; the same command starts again",
)

"""`p2phub node`: the daemon. Announces and serves what this home holds until it is stopped."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub import api
from p2phub.cli.command import Command, Invocation


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--bulk-processes",
        metavar="N",
        type=int,
        help="processes that carry bulk bytes beside the node's own (default: 1); 0: its own threads do",
    )


async def run(call: Invocation) -> int:
    output = call.output

    def show(event: api.Event) -> None:
        output.event(event)
        match event:
            case api.Ready():
                output.say(f"Node {event.peer_id} is up, and can be dialled at", *(f"  {a}" for a in event.addresses))
                output.note(f"It publishes as {event.publisher_id}. Ctrl-C stops it.")
            case api.Stopped():
                output.say("Stopped: nothing is announced or served any more. What is held here stays.")
                output.note("`p2phub node` serves it again; a fetch that was under way goes on with its own command.")

    await api.run_node(**call.common.settings(), bulk_processes=call.args.bulk_processes, watch=show)
    return 0


COMMAND = Command(
    "node",
    "run the daemon: announce and serve until stopped",
    add_arguments,
    run,
    description="Announces and serves what this home holds, until Ctrl-C or SIGTERM. Other commands of the same home "
    "use it while it runs.",
    interrupted="it was not up yet; the same command starts again",
)

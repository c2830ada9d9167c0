"""`p2phub limit`: change the caps of the running node, or of one of its jobs; without --up and --down, show them."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser

from p2phub.cli.command import Command, Invocation
from p2phub.cli.status import describe_caps
from p2phub.errors import UsageError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("rate", metavar="RATE", nargs="*", help=SUPPRESS)  # To say what was meant by it.
    parser.add_argument("--job", metavar="JOB", type=int, help="of this fetch alone: a number from `p2phub status`")


async def run(call: Invocation) -> int:
    job = call.args.job
    if call.args.rate:
        rate = " ".join(call.args.rate)[:40]
        raise UsageError(
            f"is {rate!r} the cap on sending or on receiving?",
            hint=f"`p2phub limit --up {rate}`, or `--down {rate}`, or both",
        )
    async with call.open_hub_uncapped() as hub:
        caps = await hub.limit(up=call.common.up, down=call.common.down, job=job)
    call.output.object("limit", caps)
    whose = "Node" if job is None else f"Job {job}"
    call.output.say(f"{whose}: {describe_caps(caps)}" + (" (by the schedule)" if caps["by_schedule"] else ""))
    return 0


COMMAND = Command(
    "limit",
    "change the caps of the running node or a job",
    add_arguments,
    run,
    description="Sets --up and --down, bytes a second, of the running node or one of its jobs, at once; `none` lifts "
    "one. What is not given stays. It holds until the node ends, or the schedule in config.toml changes it next.",
)

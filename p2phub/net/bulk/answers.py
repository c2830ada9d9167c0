"""What a child is answered: what a stranger asked of it that is the node's to say, and files of plans and of the shelf.

The other side of `questions`. Each question is answered once, whatever goes wrong with it: the child's thread waits.
Whoever opened a file for an answer hands its descriptor over, and keeps none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import trio

from p2phub import limits
from p2phub.content import Digest, Walker, WritePlan
from p2phub.errors import DiskError, HubError, PeerGone
from p2phub.identity import Address, PeerId
from p2phub.net.bulk.letters import error_out, ranges_out, table_out
from p2phub.net.bulk.post import Letter
from p2phub.net.bulk.walkers import NEIGHBOURS_AT_ONCE, neighbours_out
from p2phub.net.interface import AnswerControl, Shelf
from p2phub.wire import LENGTH_BYTES, decode_first, encode

_log = logging.getLogger(__name__)


class Answers:
    """To one child. `plan_of`: the plan that was lent to it under a number."""

    def __init__(self, shelf: Shelf, answer_control: AnswerControl, plan_of: Callable[[int], WritePlan]) -> None:
        self._shelf, self._answer_control, self._plan_of = shelf, answer_control, plan_of
        self._disk = trio.CapacityLimiter(limits.DATA_CONNECTIONS_MAX)  # As many as there may be bulk threads to ask.

    async def answer(self, letter: Letter) -> tuple[Letter, list[int]]:
        """Return the answer to a question, and the descriptors that go with it."""
        descriptors: list[int] = []
        try:
            if letter["what"] == "control":
                answer = await self._control(letter)
            else:
                answer = await trio.to_thread.run_sync(self._look_up, letter, descriptors, limiter=self._disk)
        except HubError as exc:
            answer = {"error": error_out(exc)}
        except OSError as exc:  # No descriptor left, say.
            answer = {"error": error_out(DiskError(f"cannot hand a file to the bulk process: {exc.strerror}"))}
        except Exception:  # noqa: BLE001  # A stranger's question must never end the node, whatever fault it finds.
            _log.exception("a fault of our own left a question of the bulk process without an answer")
            answer = {"error": error_out(PeerGone("a fault of our own ended the connection"))}
        return answer, descriptors

    async def _control(self, letter: Letter) -> Letter:
        request = decode_first(letter["request"])
        peer, where = PeerId(letter["peer"]), Address(letter["ip"], letter["port"])
        answer = await self._answer_control(peer, where, request)  # type: ignore[arg-type]  # Never an Open.
        return {"answer": encode(answer)[LENGTH_BYTES:]}

    def _look_up(self, letter: Letter, descriptors: list[int]) -> Letter:
        """Answer a question that may have to ask the disk. On a worker thread."""
        match letter["what"]:
            case "write":
                plan = self._plan_of(letter["plan"])
                try:
                    for file in letter["files"]:
                        descriptors.append(plan.open(file))
                except BaseException:
                    while descriptors:
                        os.close(descriptors.pop())
                    raise
                return {}
            case "path":
                plan = self._plan_of(letter["plan"])
                return {"path": plan.path_of(letter["file"])}
            case "changed":
                self._shelf.changed(Digest(letter["manifest"]), letter["file"])
                return {}
        offer = self._shelf.offer(Digest(letter["manifest"]), PeerId(letter["peer"]))
        match letter["what"]:
            case "offer":
                return {
                    "table": None if letter["known"] else table_out(offer.plan.table),
                    "held": ranges_out(offer.held_now),
                    "grows": offer.held is not None,
                    "folders": offer.plan.walks is not None,
                    "order": [digest.raw for digest in offer.order],
                }
            case "held":
                return {"held": ranges_out(offer.held_now)}
            case "blob":
                return {"blob": offer.blob(Digest(letter["digest"]))}
            case "neighbours":
                first = letter["first"]
                stop = min(first + NEIGHBOURS_AT_ONCE, offer.plan.table.files)
                walker = offer.plan.walker()
                try:
                    answer, folders = neighbours_out(walker, first, stop)
                finally:
                    walker.close()
                descriptors += folders
                return answer
            case what:
                assert what == "read"
                walker = offer.plan.walker()
                try:
                    return {"files": [_hand_over(walker, file, descriptors) for file in letter["files"]]}
                finally:
                    walker.close()


def _hand_over(walker: Walker, file: int, descriptors: list[int]) -> Letter:
    """Open a file for a child; a fault of that file is told of it alone."""
    try:
        readable = walker.open(file)
    except HubError as exc:
        return {"error": error_out(exc)}
    try:
        descriptors.append(os.dup(readable.descriptor))
        return {"exactly": readable.steady.exactly, "size_max": readable.steady.size_max}
    except OSError as exc:
        return {"error": error_out(DiskError(f"cannot hand a file to the bulk process: {exc.strerror}"))}
    finally:
        readable.close()

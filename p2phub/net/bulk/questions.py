"""What a child asks its parent: from a bulk thread, which waits, or from a task.

The parent answers each question once, in any order. If the parent is gone nobody is left to ask: whoever waits gets
PeerGone, which ends its connection, and the child ends.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import trio

from p2phub.errors import PeerGone
from p2phub.net.bulk.letters import error_in
from p2phub.net.bulk.post import Letter, Post

Answer = tuple[Letter, list[int]]


class Questions:
    """The questions of one child that wait for their answers."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._waiting: dict[int, Callable[[Answer | None], None]] = {}
        self._count = 0
        self._over = False

    def ask(self, **question: object) -> Answer:
        """Ask and wait. By a thread. Raises what the parent answered instead, or PeerGone."""
        slot: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._send(question, slot.put)
        return _judged(slot.get())

    async def ask_in_loop(self, **question: object) -> Answer:
        """As `ask`, by a task."""
        done, answers = trio.Event(), list[Answer | None]()

        def settle(answer: Answer | None) -> None:
            answers.append(answer)
            done.set()

        self._send(question, settle)
        await done.wait()
        return _judged(answers[0])

    def _send(self, question: dict[str, object], settle: Callable[[Answer | None], None]) -> None:
        with self._lock:
            if self._over:
                raise _over()
            number, self._count = self._count, self._count + 1
            self._waiting[number] = settle
        self._post.send({"t": "question", "number": number, **question})

    def answered(self, letter: Letter, descriptors: list[int]) -> None:
        """Hand an answer to whoever waits for it."""
        with self._lock:
            settle = self._waiting.pop(letter["number"])
        settle((letter, descriptors))

    def end(self) -> None:
        """Let go of everybody: there will be no more answers."""
        with self._lock:
            self._over = True
            waiting, self._waiting = self._waiting, {}
        for settle in waiting.values():
            settle(None)


def _judged(answer: Answer | None) -> Answer:
    if answer is None:
        raise _over()
    if "error" in answer[0]:
        raise error_in(answer[0]["error"])
    return answer


def _over() -> PeerGone:
    return PeerGone("this node is ending")

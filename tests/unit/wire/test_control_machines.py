"""The control protocol's machines, over every split."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import RangeSet, digest_of
from p2phub.errors import ProtocolViolation
from p2phub.identity import PeerId
from p2phub.wire import ControlClient, ControlServer, codec
from p2phub.wire import messages as m
from tests.support.covers import covers

QUESTIONS: list[tuple[m.ControlRequest, m.ControlAnswer]] = [
    (m.Ping(), m.Pong()),
    (m.GetRelease(PeerId(bytes(32)), "minilm", "main"), m.ReleaseIs(b"signed")),
    (m.GetNews(digest_of(b""), 4717, (3, 4), 5000), m.News(RangeSet(((1, 2),)), (), (5, 4))),
    (m.Probe(4717), m.Probed("192.0.2.7", False, "refused")),
]


@pytest.mark.parametrize(("question", "answer"), QUESTIONS, ids=lambda value: type(value).__name__)
def test_question_and_answer_survive_any_split(question: m.ControlRequest, answer: m.ControlAnswer) -> None:
    asked = ControlClient().ask(question)
    for split in range(len(asked) + 1):
        server = ControlServer()
        assert server.receive(asked[:split]) + server.receive(asked[split:]) == [question]
        answered = server.answer(answer)
        for cut in range(1, len(answered)):
            client = ControlClient()
            client.ask(question)
            assert client.receive(answered[:cut]) is None
            assert client.receive(answered[cut:]) == answer
            client.ask(m.Ping())  # The next may follow.


def test_several_questions_at_once_are_answered_in_order() -> None:
    server = ControlServer()
    data = b"".join(codec.encode(question) for question, _ in QUESTIONS)
    assert server.receive(data) == [question for question, _ in QUESTIONS]
    for _, answer in QUESTIONS:
        server.answer(answer)


@pytest.mark.parametrize("wrong", [answer for _, answer in QUESTIONS[1:]], ids=lambda value: type(value).__name__)
def test_an_answer_to_another_question_is_refused(wrong: m.ControlAnswer) -> None:
    client = ControlClient(peer="ann")
    client.ask(m.Ping())
    with pytest.raises(ProtocolViolation, match="out-of-order"):
        client.receive(codec.encode(wrong))
    with pytest.raises(ProtocolViolation):
        client.receive(codec.encode(m.Pong()))


def test_an_answer_to_no_question_and_more_than_the_answer_are_refused() -> None:
    with pytest.raises(ProtocolViolation, match="unasked"):
        ControlClient().receive(codec.encode(m.Pong()))
    client = ControlClient()
    client.ask(m.Ping())
    with pytest.raises(ProtocolViolation, match="unasked"):
        client.receive(2 * codec.encode(m.Pong()))


@covers("T27")
@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", codec.encode(m.Want(((0, 1),)))])
def test_a_server_refuses_garbage_and_bulk_messages(data: bytes) -> None:
    server = ControlServer(peer="bob")
    with pytest.raises(ProtocolViolation):
        server.receive(data)
    with pytest.raises(ProtocolViolation):
        server.receive(codec.encode(m.Ping()))


@covers("T37")
def test_a_flood_of_questions_is_refused() -> None:
    server = ControlServer()
    with pytest.raises(ProtocolViolation, match="too-many"):
        server.receive(codec.encode(m.Ping()) * (limits.REQUESTS_WAITING_MAX + 1))

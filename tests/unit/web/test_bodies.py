"""Bodies are read strictly: what is not known, or too long, is refused before anything is done."""

from __future__ import annotations

import pytest

from p2phub.http.refusal import Refusal
from p2phub.web import bodies
from p2phub.web.bodies import read_body


def test_a_body_is_read_as_what_it_was_sent_for() -> None:
    assert read_body(b'{"ref": "x", "into": "/a"}', bodies.Fetch) == bodies.Fetch("x", "/a")
    assert read_body(b'{"down": "20MB", "up": 5}', bodies.Limit) == bodies.Limit(up=5, down="20MB")
    assert read_body(b"", bodies.Nothing) == bodies.Nothing()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", bodies.Fetch),
        (b"{", bodies.Fetch),
        (b"[]", bodies.Fetch),
        (b'"x"', bodies.Fetch),
        (b'{"ref": ""}', bodies.Fetch),
        (b'{"ref": 1}', bodies.Fetch),
        (b'{"ref": "x", "other": 1}', bodies.Fetch),
        (b'{"ref": "' + b"x" * 5000 + b'"}', bodies.Fetch),
        (b'{"ref": "x", "tensors": ["' + b'","'.join([b"t"] * 65) + b'"]}', bodies.Fetch),
        (b'{"path": "/x", "name": "x", "kind": "virus"}', bodies.Publish),
        (b'{"path": "/x", "name": "x", "description": "' + b"x" * 1025 + b'"}', bodies.Publish),
        (b'{"down": 1.5}', bodies.Limit),
        (b"[" * 60_000, bodies.Fetch),
        (b'{"ref": "\xff"}', bodies.Fetch),
        (b'{"ref": "x", "into": "/x\\u0000"}', bodies.Fetch),
        (b'{"path": "/\\u0000x"}', bodies.Survey),
        (b'{"path": "/\\n\\u0000", "name": "x"}', bodies.Publish),
    ],
)
def test_what_is_not_what_it_should_be_is_refused(body: bytes, kind: type[bodies.Body]) -> None:
    with pytest.raises(Refusal) as refused:
        read_body(body, kind)
    assert refused.value.status == 400

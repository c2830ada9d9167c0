"""What is told to clients is JSON whatever folders of this machine are called."""

from __future__ import annotations

import json
import os

from p2phub.http.json_body import json_body


def test_what_json_can_have_is_told_as_it_is() -> None:
    told = {"a": [1, 2.5, None, True, "ä\u202e\n"], "b": {}}
    assert json.loads(json_body(told)) == told


def test_what_is_no_text_is_escaped() -> None:
    folder = os.fsdecode(b"/m/\xff\xc3\xa4")
    told = {"items": [{"folder": folder, folder: ("\ud800",)}], "count": 1}
    assert json.loads(json_body(told)) == {
        "items": [{"folder": r"/m/\udcffä", r"/m/\udcffä": [r"\ud800"]}],
        "count": 1,
    }

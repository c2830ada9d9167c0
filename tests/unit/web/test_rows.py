"""The first rows of Parquet files: read by a child that has bounds, out of bytes that it asks for."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from p2phub import limits
from p2phub.errors import NoProvider
from p2phub.http.refusal import Refusal
from p2phub.web import reading_rows, rows
from p2phub.web.reading_rows import CELL_LETTERS_MAX, COLUMNS_MAX
from tests.support.covers import covers


class Model:
    """An open model of one file, `data.parquet`; `read` is how many bytes were asked for."""

    def __init__(self, content: bytes, *, fails: Exception | None = None) -> None:
        self.files = {"data.parquet": SimpleNamespace(size=len(content))}
        self.bytes_read = 0
        self._content, self._fails = content, fails

    async def __aenter__(self) -> Model:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def read(self, path: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if self._fails is not None:
            raise self._fails
        self.bytes_read += stop - start
        for at in range(start, stop, 1000):
            yield self._content[at : min(stop, at + 1000)]


async def first_rows(model: Model, limit: int = 20, path: str = "data.parquet") -> Any:
    hub: Any = SimpleNamespace(open_model=lambda ref: model)
    return await rows.Rows(hub).first("ann/data", path, limit)


def written(table: pa.Table, **options: Any) -> bytes:
    into = io.BytesIO()
    parquet.write_table(table, into, **options)
    return into.getvalue()


async def test_the_first_rows_are_told_in_words() -> None:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "text": ["a", None, "<b>ü</b>"],
            "list": [[1, 2], [], None],
            "struct": [{"x": 1}, {"x": None}, None],
            "bytes": [b"\x00\xff", b"", None],
        }
    )
    told = await first_rows(Model(written(table)), limit=2)
    assert told["columns"][:2] == [{"name": "id", "type": "int64"}, {"name": "text", "type": "string"}]
    assert told["rows"] == [
        ["1", "a", "[1, 2]", "{x: 1}", "2 bytes: 00ff"],
        ["2", None, "[]", "{x: None}", "0 bytes: "],
    ]
    assert (told["total"], told["columns_total"], told["cut"]) == (3, 5, False)


async def test_rows_of_several_groups_are_told_in_order() -> None:
    told = await first_rows(Model(written(pa.table({"n": list(range(100))}), row_group_size=3)), limit=8)
    assert [row[0] for row in told["rows"]] == [str(number) for number in range(8)]
    assert (await first_rows(Model(written(pa.table({"n": pa.array([], pa.int64())})))))["rows"] == []


async def test_what_is_long_or_wide_is_cut() -> None:
    table = pa.table({f"c{number}": ["x" * 1000] for number in range(COLUMNS_MAX + 10)})
    told = await first_rows(Model(written(table)))
    assert (len(told["columns"]), told["columns_total"], told["cut"]) == (COLUMNS_MAX, COLUMNS_MAX + 10, True)
    assert told["rows"] == [["x" * CELL_LETTERS_MAX] * COLUMNS_MAX]


async def test_of_a_large_row_group_its_first_pages_are_read() -> None:
    content = written(pa.table({"x": [os.urandom(100) for _ in range(200_000)]}))
    model = Model(content)
    assert len((await first_rows(model))["rows"]) == 20
    assert model.bytes_read < len(content) / 4


@covers("T30")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1" + bytes(1000) + b"PAR1",
        os.urandom(5000),
        b"PAR1" + os.urandom(3000) + b"\xff\xff\xff\x7fPAR1",
    ],
)
async def test_what_is_no_parquet_is_refused(content: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        await first_rows(Model(content))
    assert refused.value.status == 415


@covers("T30")
@pytest.mark.parametrize("at", [20, 400, -300, -40, -10])
async def test_no_damage_of_a_file_gets_out_of_the_child(at: int) -> None:
    damaged = bytearray(written(pa.table({"x": list(range(1000)), "y": ["abc"] * 1000})))
    damaged[at] ^= 0xFF
    status = 200
    try:
        told = await first_rows(Model(bytes(damaged)))
        assert len(told["rows"]) == 20
    except Refusal as refusal:
        status = refusal.status
    assert status in (200, 415)


@covers("T30")
async def test_a_file_that_unpacks_to_very_much_is_given_up() -> None:
    bomb = written(pa.table({"x": [b"\0" * 900_000_000]}), compression="zstd")
    assert len(bomb) < 1_000_000
    with pytest.raises(Refusal) as refused:
        await first_rows(Model(bomb))
    assert refused.value.status == 415


async def test_a_child_that_asks_for_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROWS_READ_BYTES_MAX", 100)
    with pytest.raises(Refusal) as refused:
        await first_rows(Model(written(pa.table({"x": [1]}))))
    assert refused.value.status == 415


async def test_bytes_that_nobody_has_are_no_fault_of_the_file() -> None:
    with pytest.raises(NoProvider):
        await first_rows(Model(written(pa.table({"x": [1]})), fails=NoProvider("nobody has it")))


async def test_a_file_that_is_not_there_is_not_found() -> None:
    with pytest.raises(Refusal) as refused:
        await first_rows(Model(b""), path="../../etc/passwd")
    assert refused.value.status == 404


async def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "find_spec", lambda name: None)
    with pytest.raises(Refusal) as refused:
        await first_rows(Model(b""))
    assert refused.value.status == 501
    assert "page" in refused.value.message


@covers("T30")
async def test_the_child_has_bounds_and_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = f"""
import os, resource, sys
{Path(reading_rows.__file__).read_text().partition("if __name__")[0]}
def first_rows(file, rows):
    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    bounds = [[name, str(resource.getrlimit(getattr(resource, name)))] for name in names]
    return {{"rows": [*bounds, ["cwd", os.getcwd()], ["environment", " ".join(sorted(os.environ))]]}}
main()
"""
    child = tmp_path / "child.py"
    child.write_text(looks.replace("from __future__ import annotations", ""))
    monkeypatch.setattr(reading_rows, "__file__", os.fspath(child))
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    told = dict((await first_rows(Model(b"PAR1")))["rows"])
    assert told == {
        "RLIMIT_AS": str((reading_rows.MEMORY_BYTES_MAX,) * 2),
        "RLIMIT_CPU": str((reading_rows.PROCESSOR_S_MAX,) * 2),
        "RLIMIT_CORE": "(0, 0)",
        "RLIMIT_FSIZE": "(0, 0)",
        "RLIMIT_NOFILE": str((reading_rows.OPEN_FILES_MAX,) * 2),
        "cwd": "/",
        "environment": told["environment"],
    }
    assert set(told["environment"].split()) <= {"ARROW_DEFAULT_MEMORY_POOL", "LC_CTYPE", "OMP_NUM_THREADS", "PATH"}


async def test_times_of_a_zone_are_told(tmp_path: Path) -> None:
    zones = ["Europe/Berlin", "Asia/Tokyo", "UTC", "America/New_York"]
    columns = {zone: pa.array([0], pa.timestamp("us", tz=zone)) for zone in zones}
    told = await first_rows(Model(written(pa.table(columns))))
    assert told["rows"][0][:2] == ["1970-01-01 01:00:00+01:00", "1970-01-01 09:00:00+09:00"]


def test_the_child_stands_in_a_file_that_needs_nothing_of_this_package() -> None:
    text = Path(rows.reading_rows.__file__).read_text()
    assert "p2phub" not in "".join(line for line in text.splitlines() if line.lstrip().startswith(("import", "from")))

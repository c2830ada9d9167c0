"""From what a user asks for to chunks, files and what is made of them; and whose word on that holds (0091)."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace
from pyarrow import parquet as pq
from safetensors.numpy import load, save

from p2phub import limits
from p2phub.content import RangeSet, ReadPlan, Run, Steady
from p2phub.engine.choice import Choice
from p2phub.engine.choosing import HEADER_END_MAX, Choosing, Chosen
from p2phub.engine.composing import check_header, compose
from p2phub.engine.opening import Opening
from p2phub.engine.patterns import name_patterns
from p2phub.errors import Damaged, UsageError
from p2phub.formats import Layout, Span, layout_of
from p2phub.identity import PeerId
from p2phub.manifest import FileEntry
from p2phub.observe import Unmatched
from p2phub.store import Made
from tests.support.content import Content, Published, content_of
from tests.support.reading import reader

STEP = 64  # Bytes of a chunk.


def shard(*names: str, rows: int = 64) -> bytes:
    return save({name: np.full(rows, number, np.uint8) for number, name in enumerate(names)}, metadata={"format": "pt"})


FILES = {
    "config.json": b"{}",
    "empty": b"",
    "m-00001-of-00002.safetensors": shard("a.0", "a.1", "b.0"),
    "m-00002-of-00002.safetensors": shard("a.2", "c"),
    "vae/vae.safetensors": shard("a.0", "z"),
}
PATHS = sorted(FILES, key=str.encode)
CONTENT = content_of(FILES, STEP)
LAYOUTS = {
    path: layout_of(path, len(data), reader(data)) for path, data in FILES.items() if path.endswith(".safetensors")
}


def choose(
    *, include: Sequence[str] = (), exclude: Sequence[str] = (), tensors: Sequence[str] = (),
    content: Content = CONTENT, layouts: Mapping[str, Layout] = LAYOUTS,
) -> Chosen:  # fmt: skip
    choice = Choice(tuple(include), tuple(exclude), tuple(tensors))
    return Choosing(choice).choose(content.manifest, content.table, layouts)


def files_of(chosen: Chosen) -> list[str]:
    return [PATHS[number] for number in chosen.selected.files]


def made_of(chosen: Chosen, content: Content = CONTENT) -> dict[str, list[str]]:
    """What is made by the names of files alone."""
    order = sorted(chosen.spans, key=lambda each: (each[0], each[1].start))
    making = compose(content.manifest, order, chosen.known)
    assert [each.path for each in making] == [each.path for each in chosen.selected.made]
    return {each.path: [span.name for _, span in each.spans] for each in making}


def spans_of(*paths: str) -> RangeSet:
    return RangeSet.of(CONTENT.table.span(PATHS.index(path)) for path in paths)


def test_included_files_are_fetched_whole_but_for_those_excluded() -> None:
    chosen = choose(include=["*.json", "empty", "m-*"], exclude=["*-00002-*"])
    assert files_of(chosen) == ["config.json", "empty", "m-00001-of-00002.safetensors"]
    assert chosen.selected.chunks == spans_of("config.json", "m-00001-of-00002.safetensors")
    assert files_of(choose(exclude=["m-*"])) == ["config.json", "empty", "vae/vae.safetensors"]
    assert not chosen.selected.made


def test_shards_of_one_model_give_one_file_and_another_model_its_own() -> None:
    chosen = choose(tensors=["a.*"])
    assert made_of(chosen) == {"m.selected.safetensors": ["a.0", "a.1", "a.2"], "vae/vae.selected.safetensors": ["a.0"]}
    assert files_of(chosen) == []


def test_only_headers_and_the_chunks_of_what_was_chosen_are_wanted() -> None:
    chosen = choose(tensors=["c"])
    number = PATHS.index("m-00002-of-00002.safetensors")
    layout = LAYOUTS[PATHS[number]]
    [span] = [span for span in layout.spans if span.name == "c"]
    covering = CONTENT.table.covering
    assert chosen.selected.chunks == RangeSet.of(
        [covering(number, 0, layout.header_bytes), covering(number, span.start, span.stop)]
    )


def test_include_narrows_the_files_that_tensors_are_taken_of_if_it_names_any_and_else_adds_files() -> None:
    narrowed = choose(include=["vae/*"], tensors=["a.*"])
    assert (made_of(narrowed), files_of(narrowed)) == ({"vae/vae.selected.safetensors": ["a.0"]}, [])
    beside = choose(include=["config.json"], tensors=["z"])
    assert (made_of(beside), files_of(beside)) == ({"vae/vae.selected.safetensors": ["z"]}, ["config.json"])
    assert made_of(choose(exclude=["vae/"], tensors=["a.0"])) == {"m.selected.safetensors": ["a.0"]}


def test_tensors_are_in_the_order_of_the_patterns_that_mean_them_and_their_headers_before_them() -> None:
    chosen = choose(tensors=["c", "a.*", "*"], exclude=["vae/"])
    assert [span.name for _, span in chosen.spans] == ["c", "a.0", "a.1", "a.2", "b.0"]
    opening = Opening(chosen, CONTENT.manifest, CONTENT.table)
    first, second = (PATHS.index(f"m-0000{number}-of-00002.safetensors") for number in (1, 2))
    runs = opening.runs()
    assert runs[0] == chosen.header_of(second, CONTENT.table)
    assert runs[2] == chosen.header_of(first, CONTENT.table)
    assert len(runs) == 7


def test_a_tensor_is_told_once_it_and_its_header_are_verified_and_none_before_the_one_asked_for_first(
    tmp_path: Path,
) -> None:
    chosen = choose(tensors=["b.0", "a.0"], exclude=["vae/"])
    opening = Opening(chosen, CONTENT.manifest, CONTENT.table)
    header, b, a = opening.runs()

    def readable(*have: Run) -> list[str]:
        opening.look(plan_of(tmp_path, RangeSet.of(have)))
        return [span.name for _, span in opening.take()]

    assert readable(b) == []
    assert readable(header) == []
    assert readable(header, a) == []
    assert readable(header, b) == ["b.0"]
    assert readable(header, b, a) == ["a.0"]
    assert readable(header, b, a) == []


def test_patterns_that_match_nothing_are_told() -> None:
    chosen = choose(include=["confg.json", "config.json"], exclude=["x"], tensors=["a.0", "A.0"])
    assert chosen.unmatched == (Unmatched("confg.json"), Unmatched("x"), Unmatched("A.0"))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"include": ["x"]}, "config.json, empty, m-00001-of-00002.safetensors and 2 more"),
        ({"tensors": ["x"]}, "a.0, a.1, b.0 and 4 more"),
        ({"tensors": ["*"], "layouts": {}}, "config.json"),
    ],
)
def test_who_chooses_nothing_is_told_what_there_is(arguments: dict[str, list[str]], hint: str) -> None:
    with pytest.raises(UsageError) as error:
        choose(**arguments)  # type: ignore[arg-type]
    assert hint in str(error.value.hint)


def test_splits_of_a_gguf_model_give_one_file_and_the_first_ones_header_is_wanted_whatever_was_chosen() -> None:
    paths = [f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    content = content_of({paths[0]: bytes(400), paths[1]: bytes(400), "m.safetensors": FILES["empty"] + bytes(9)}, STEP)
    first = Layout("gguf", 192, (Span("a", 192, 196, "F32", (1,)),))
    second = Layout("gguf", 64, (Span("b", 128, 132, "F32", (1,)), Span("c", 320, 324, "F32", (1,))))
    chosen = choose(tensors=["c"], content=content, layouts=dict(zip(paths, (first, second), strict=True)))
    assert made_of(chosen, content) == {"m.selected.gguf": ["c"]}
    covering = content.table.covering
    assert chosen.selected.chunks == RangeSet.of([covering(0, 0, 192), covering(1, 0, 64), covering(1, 320, 324)])


def test_a_type_that_gguf_does_not_have_is_its_publishers_fault() -> None:
    layouts = {"config.json": Layout("gguf", 0, (Span("t", 0, 2, "Q4_9", (1,)),))}
    with pytest.raises(Damaged, match="Q4_9"):
        choose(tensors=["t"], layouts=layouts)


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_layout_cannot_have_a_whole_file_fetched_for_a_header(kind: str) -> None:
    layout = Layout(kind, HEADER_END_MAX + 1, (Span("t", 1 << 40, 4 + (1 << 40), "F32", (1,)),))
    with pytest.raises(Damaged, match="header"):
        choose(tensors=["t"], layouts={"config.json": layout})


def test_what_is_made_takes_no_name_that_the_manifest_has() -> None:
    taken = ("m.safetensors", "m.selected.safetensors", "m.selected.selected.safetensors/x")
    content = content_of(dict.fromkeys(taken, b""))
    layouts = {"m.safetensors": Layout("safetensors", 8, (Span("t", 8, 8, "F32", (0,)),))}
    chosen = choose(tensors=["t"], content=content, layouts=layouts)
    assert list(made_of(chosen, content)) == ["m.selected.selected.selected.safetensors"]


def test_two_tensors_of_one_name_in_one_model_are_not_put_into_one_file() -> None:
    content = content_of({"m-1-of-2.safetensors": shard("t"), "m-2-of-2.safetensors": shard("t")}, STEP)
    layouts = {path: layout_of(path, len(data), reader(data)) for path, data in content.files.items()}
    with pytest.raises(UsageError, match="two files"):
        choose(tensors=["t"], content=content, layouts=layouts)


def test_a_dtype_that_the_format_does_not_have_is_its_publishers_fault() -> None:
    layouts = {"config.json": Layout("safetensors", 0, (Span("t", 0, 2, "F15", (1,)),))}
    with pytest.raises(Damaged, match="F15"):
        choose(tensors=["t"], layouts=layouts)


# --- tables ---------------------------------------------------------------------------------------------------------


def column(group: int, name: str, start: int) -> Span:
    return Span(f"{group}/{name}", start, start + 10, "INT64", (1,))


TABLE = Layout(
    "parquet", 0, tuple(column(group, name, 4 + 40 * group + 10 * at)
    for group in range(3) for at, name in enumerate(("id", "user.name", "user.tags.list", "z")))
)  # fmt: skip
TABLES = content_of({"a.parquet": bytes(200), "README.md": b"x"}, 8)


def columns_of(*, columns: Sequence[str] = (), row_groups: Sequence[str] = (), include: Sequence[str] = ()) -> Chosen:
    choice = Choice(include=tuple(include), columns=tuple(columns), row_groups=tuple(row_groups))
    return Choosing(choice).choose(TABLES.manifest, TABLES.table, {"a.parquet": TABLE})


def test_columns_and_row_groups_of_a_table_give_a_table() -> None:
    assert made_of(columns_of(columns=["id"], row_groups=["0", "2-9"]), TABLES) == {
        "a.selected.parquet": ["0/id", "2/id"]
    }
    assert made_of(columns_of(columns=["user"], row_groups=["1"]), TABLES) == {
        "a.selected.parquet": ["1/user.name", "1/user.tags.list"]
    }
    assert len(columns_of(row_groups=["1-2"]).spans) == 8
    assert len(columns_of(columns=["*"]).spans) == 12


def test_of_a_table_its_beginning_and_all_behind_its_columns_is_wanted_too() -> None:
    chosen = columns_of(columns=["id"], row_groups=["0"], include=["README.md"])
    number = [entry.path for entry in TABLES.manifest.files].index("a.parquet")
    covering = TABLES.table.covering
    readme = TABLES.table.span(1 - number)
    wanted = [covering(number, 0, 4), covering(number, 4, 14), covering(number, 124, 200), readme]
    assert chosen.selected.chunks == RangeSet.of(wanted)


def test_row_groups_that_no_table_has_are_told() -> None:
    chosen = columns_of(columns=["id", "nothing"], row_groups=["0-1", "7"])
    assert chosen.unmatched == (Unmatched("nothing"), Unmatched("7"))
    with pytest.raises(UsageError, match="no column") as error:
        columns_of(row_groups=["3-5"])
    assert "0/id" in str(error.value.hint)


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "0-1-2", "1.5", "٣", "9" * 10])
def test_what_is_no_row_group_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not row groups"):
        columns_of(row_groups=[text])


# --- what is made ---------------------------------------------------------------------------------------------------


class Sparse:
    """A `content.Readable` of a file in whatever state."""

    steady = Steady(None, 1 << 30)

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def unchanged(self) -> bool:
        return True

    def close(self) -> None:
        os.close(self.descriptor)


def make(chosen: Chosen, folder: Path) -> list[Made]:
    made, remarks = chosen.make(plan_of(folder, chosen.selected.chunks), CONTENT.manifest)
    assert not remarks
    return made


def plan_of(folder: Path, held: RangeSet, files: Mapping[str, bytes] = FILES) -> ReadPlan:
    """Let it read what is held; whatever else the files have is not there."""
    shelf = Published(CONTENT, folder, held=held)
    for number, path in enumerate(PATHS):
        with (folder / path).open("r+b") as file:
            os.truncate(file.fileno(), 0)
            os.truncate(file.fileno(), len(files[path]))
            for ref in CONTENT.table.chunks(*_first_count(CONTENT.table.span(number))):
                if ref.index in held:
                    os.pwrite(file.fileno(), files[path][ref.offset : ref.offset + ref.length], ref.offset)

    def open_file(file: int) -> Sparse:
        return Sparse(folder / PATHS[file])

    return ReadPlan(CONTENT.root, CONTENT.table, shelf.held, open_file)


def _first_count(run: tuple[int, int]) -> tuple[int, int]:
    return run[0], run[1] - run[0]


def bytes_of(made: Made) -> bytes:
    return b"".join(
        part if isinstance(part, bytes) else FILES[PATHS[part.file]][part.start : part.stop] for part in made.parts
    )


def test_what_is_made_is_a_file_of_just_the_tensors_chosen(tmp_path: Path) -> None:
    made = make(choose(tensors=["a.[12]", "c"]), tmp_path)
    assert [each.path for each in made] == ["m.selected.safetensors"]
    found = load(bytes_of(made[0]))
    assert {name: int(array[0]) for name, array in found.items()} == {"a.1": 1, "a.2": 0, "c": 1}


def moved(layout: Layout, by: int) -> Layout:
    spans = (replace(span, start=span.start + by, stop=span.stop + by) for span in layout.spans)
    return replace(layout, spans=tuple(spans))


@pytest.mark.parametrize(
    "lie",
    [
        lambda layout: moved(layout, -8),
        lambda layout: replace(layout, header_bytes=layout.header_bytes - 8),
        lambda layout: replace(layout, header_bytes=layout.header_bytes + 8),
        lambda layout: replace(layout, header_bytes=0),
        lambda layout: replace(layout, spans=layout.spans[1:]),
        lambda layout: replace(layout, spans=(replace(layout.spans[0], name="other"), *layout.spans[1:])),
    ],
)
def test_a_layout_that_is_not_that_of_its_file_is_damage_and_nothing_is_made(tmp_path: Path, lie: object) -> None:
    path = "m-00001-of-00002.safetensors"
    chosen = choose(tensors=["*"], include=[path], layouts={path: lie(LAYOUTS[path])})  # type: ignore[operator]
    with pytest.raises(Damaged, match="not made up as its publisher says"):
        make(chosen, tmp_path)


def test_nothing_is_read_behind_the_header_that_was_verified(tmp_path: Path) -> None:
    path = "m-00001-of-00002.safetensors"
    claimed = replace(LAYOUTS[path], header_bytes=LAYOUTS[path].header_bytes - 8)
    (tmp_path / "f").write_bytes(FILES[path][: claimed.header_bytes])
    entry = CONTENT.manifest.files[PATHS.index(path)]
    with pytest.raises(Damaged):
        check_header(entry, claimed, Sparse(tmp_path / "f"))


def renamed(layout: Layout) -> Layout:
    return replace(layout, spans=(*layout.spans[:-1], replace(layout.spans[-1], name="2/other")))


@pytest.mark.parametrize("lie", [None, lambda layout: moved(layout, 8), renamed])
def test_a_table_whose_layout_is_not_its_own_is_damage(tmp_path: Path, lie: object) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(90)), "x": ["y"] * 90}), buffer, row_group_size=30)
    data = buffer.getvalue()
    content = content_of({"t.parquet": data}, 8)
    layout = layout_of("t.parquet", len(data), reader(data))
    choice = Choice(columns=("id",), row_groups=("0", "2"))
    told = layout if lie is None else lie(layout)  # type: ignore[operator]
    chosen = Choosing(choice).choose(content.manifest, content.table, {"t.parquet": told})
    plan = Published(content, tmp_path).offer(content.root, PeerId(bytes(32))).plan
    if lie is not None:
        with pytest.raises(Damaged, match="not made up as its publisher says"):
            chosen.make(plan, content.manifest)
        return
    [made], _ = chosen.make(plan, content.manifest)
    parts = (part if isinstance(part, bytes) else data[part.start : part.stop] for part in made.parts)
    assert pq.read_table(io.BytesIO(b"".join(parts)))["id"].to_pylist() == [*range(30), *range(60, 90)]


# --- patterns -------------------------------------------------------------------------------------------------------


def test_tensors_are_named_by_shell_patterns_over_their_whole_name() -> None:
    def matching(pattern: str) -> list[str]:
        [(_, matches)] = name_patterns([pattern], "tensors")
        return [name for name in ("layers.0.w", "layers.10.w", "x.layers.0.w", "layers.0.W") if matches(name)]

    assert matching("layers.0.*") == ["layers.0.w", "layers.0.W"]
    assert matching("*layers.?.w") == ["layers.0.w", "x.layers.0.w"]
    assert matching("layers.[0-9][0-9].w") == ["layers.10.w"]


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        (["a***b"], [], "no file is selected: nothing matches 'a***b'"),
        (["x", "y*"], [], "no file is selected: nothing matches 'x', 'y*'"),
        (["config.json", "x"], ["*.json"], "no file is selected: what is included is left out again"),
        ([], ["*"], "no file is selected: all are left out by '*'"),
    ],
)
def test_where_no_file_is_selected_it_is_said_which_patterns_see_to_that(
    include: list[str], exclude: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        choose(include=include, exclude=exclude)
    assert refused.value.message == message
    assert "there are: config.json" in str(refused.value.hint)
    assert ("three stars in a row match as one star does" in str(refused.value.hint)) == (include == ["a***b"])


def test_a_pattern_of_many_stars_takes_no_time_on_a_long_name() -> None:
    [(_, matches)] = name_patterns(["*a" * 200 + "!"], "tensors")
    assert not matches("a" * 4096)


@pytest.mark.parametrize("field", ["include", "exclude", "tensors"])
@pytest.mark.parametrize("patterns", [("",), (" ",), ("*",) * (limits.FIRST_PATTERNS_MAX + 1)])
def test_what_is_no_pattern_is_refused(field: str, patterns: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Choosing(Choice(**{field: patterns}))


def test_layouts_are_asked_for_where_tensors_are_of_files_not_excluded() -> None:
    entries = tuple(
        FileEntry(entry.path, entry.size, entry.chunks, entry.root, entry.sha256, layout=CONTENT.root)
        if entry.path.startswith("vae")
        else replace(entry, layout=entry.root)
        for entry in CONTENT.manifest.files
    )
    manifest = replace(CONTENT.manifest, files=entries)
    assert Choosing(Choice(include=("*",))).layouts_of(manifest) == set()
    assert CONTENT.root in Choosing(Choice(tensors=("x",))).layouts_of(manifest)
    assert CONTENT.root not in Choosing(Choice(tensors=("x",), exclude=("vae/",))).layouts_of(manifest)

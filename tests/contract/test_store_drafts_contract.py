"""What every store promises of drafts: what was published stands by itself, and shares what it has with others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2phub.content import RangeSet
from p2phub.errors import ContentChanged
from p2phub.store import DraftFolder, HashedFile, Keep, Origin
from tests.support.content import Content, content_of
from tests.support.stores import DiskScene, MemoryScene, Scene, hold

FIRST = {"README.md": b"# one", "data/model.bin": b"weights" * 300, "empty": b""}
SECOND = {**FIRST, "README.md": b"# two", "data/more.bin": b"more"}


@pytest.fixture(params=["disk", "memory"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made: Scene = DiskScene(tmp_path) if request.param == "disk" else MemoryScene()
    yield made
    made.store.close()


def write(scene: Scene, draft: DraftFolder, files: Mapping[str, bytes]) -> list[HashedFile]:
    """Have `files` stand in a draft, as whoever asked for it writes them, and return what they are."""
    content, found = content_of(files, 1000), []
    scene.store.put_blobs(list(content.blobs.values()))
    for number, entry in enumerate(content.manifest.files):
        name = f"{number}-{len(files)}"
        if isinstance(scene, MemoryScene):
            scene.memory.put_file(draft.folder, name, files[entry.path])
        else:
            (draft.folder / name).write_bytes(files[entry.path])
        opened = scene.store.open_place(draft.folder / name)
        fingerprint = scene.store.fingerprint_of(opened)
        opened.close()
        chunks = content.table.list_of(number) if entry.chunks > 1 else None
        found.append(HashedFile(entry, chunks, fingerprint, True, draft.folder / name))
    return found


def published(scene: Scene, draft: DraftFolder, content: Content, files: list[HashedFile]) -> tuple[HashedFile, ...]:
    scene.store.put_blobs(list(content.blobs.values()))
    return draft.hold(content.manifest, content.root, files)


def served(scene: Scene, content: Content) -> dict[str, bytes]:
    plan = scene.store.read_plan(content.root)
    assert plan is not None
    assert plan.held == RangeSet.whole(len(content.table))
    found = {}
    for number, entry in enumerate(content.manifest.files):
        if entry.size:
            file = plan.open(number)
            found[entry.path] = os.pread(file.descriptor, 1 << 20, 0)
            file.close()
    return found


def without_empty(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if data}


def test_what_was_published_of_a_draft_outlives_it_and_is_served(scene: Scene) -> None:
    content, draft = content_of(FIRST, 1000), scene.store.open_draft()
    published(scene, draft, content, write(scene, draft, FIRST))
    draft.close()
    scene.reopen()
    assert served(scene, content) == without_empty(FIRST)
    assert [(held.origin, held.complete) for held in scene.store.holdings()] == [(Origin.PUBLISHED, True)]
    assert scene.store.own_bytes() == sum(map(len, FIRST.values()))


def test_a_version_shares_what_it_has_in_common_with_its_base(scene: Scene) -> None:
    first, second, draft = content_of(FIRST, 1000), content_of(SECOND, 1000), scene.store.open_draft()
    published(scene, draft, first, write(scene, draft, FIRST))
    held = scene.store.whole(first.root)
    assert held is not None
    changed = write(scene, draft, {path: SECOND[path] for path in ("README.md", "data/more.bin")})
    kept = [file for file in held[1] if file.entry.path != "README.md"]
    files = sorted([*kept, *changed], key=lambda file: file.entry.path.encode())
    standing = published(scene, draft, second, files)
    assert served(scene, second) == without_empty(SECOND)
    assert served(scene, first) == without_empty(FIRST)
    assert {file.place for file in kept} <= {file.place for file in standing}
    assert scene.store.own_bytes() == sum(map(len, {*FIRST.values(), *SECOND.values()}))


def test_a_base_in_a_folder_of_the_users_stays_where_it_is(scene: Scene) -> None:
    first, second = content_of(FIRST, 1000), content_of(SECOND, 1000)
    hold(scene, first)
    held = scene.store.whole(first.root)
    assert held is not None
    draft = scene.store.open_draft()
    changed = write(scene, draft, {path: SECOND[path] for path in ("README.md", "data/more.bin")})
    kept = [file for file in held[1] if file.entry.path != "README.md"]
    published(scene, draft, second, sorted([*kept, *changed], key=lambda file: file.entry.path.encode()))
    assert served(scene, second) == without_empty(SECOND)
    assert scene.files() == FIRST
    assert scene.store.own_bytes() == len(SECOND["README.md"]) + len(SECOND["data/more.bin"])


def test_a_file_that_is_not_as_it_was_hashed_is_not_published(scene: Scene) -> None:
    content, draft = content_of(FIRST, 1000), scene.store.open_draft()
    files = write(scene, draft, FIRST)
    others = write(scene, draft, {"README.md": b"# another"})
    wrong = [replace(files[0], place=others[0].place), *files[1:]]
    with pytest.raises(ContentChanged):
        published(scene, draft, content, wrong)
    assert scene.store.holdings() == ()


def test_what_no_version_has_any_more_is_collected_and_nothing_else(scene: Scene) -> None:
    first, second, draft = content_of(FIRST, 1000), content_of(SECOND, 1000), scene.store.open_draft()
    published(scene, draft, first, write(scene, draft, FIRST))
    published(scene, draft, second, write(scene, draft, SECOND))
    draft.close()
    scene.store.release(first.root)
    scene.store.sweep(Keep(), lambda: False)
    assert served(scene, second) == without_empty(SECOND)
    if isinstance(scene, DiskScene):  # In memory nothing is collected that has no record.
        assert scene.store.own_bytes() == sum(map(len, SECOND.values()))


def test_a_draft_that_was_not_published_leaves_nothing(scene: Scene) -> None:
    draft = scene.store.open_draft()
    write(scene, draft, FIRST)
    draft.close()
    assert scene.store.own_bytes() == 0
    assert not draft.folder.exists()

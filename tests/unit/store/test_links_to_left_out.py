"""Publishing a folder: a link does not give out, under another name, what the rules leave out or call a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2phub.engine.publish import Order, check_survey, survey
from p2phub.engine.selection import Selection
from p2phub.engine.workers import Workers
from p2phub.errors import UsageError
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.interface import Scan
from p2phub.store.scanning import scan_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    for path in (".git/config", ".env", ".p2phub/0", "data/deep/part.bin", "weights.bin"):
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_bytes(path.encode())
    return made


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (".git/config", "junk"),
        ("data/../.git/./config", "junk"),
        ("also/config", "junk"),
        ("data/deep/part.bin", "your rule"),
        (".p2phub/0", "p2phub's own"),
    ],
)
def test_a_link_to_what_is_left_out_is_left_out_for_the_same_reason(folder: Path, target: str, why: str) -> None:
    (folder / "also").symlink_to(".git")
    (folder / "a.txt").symlink_to(target)
    (folder / "b.txt").symlink_to("a.txt")
    scan = scan_folder(folder, Selection(ignore=["data/"]).ignore)
    assert [found.path for found in scan.files] == [".env", "weights.bin"]
    reasons = dict(scan.left_out)
    assert why in reasons["a.txt"]
    assert why in reasons["b.txt"]


def test_a_rule_that_judges_folders_alone_holds_for_links_into_them(folder: Path) -> None:
    (folder / "a.txt").symlink_to("data/deep/part.bin")

    def no_data(path: str, is_folder: bool) -> str | None:
        return "not this" if is_folder and path == "data" else None

    assert "a.txt" not in [found.path for found in scan_folder(folder, no_data).files]


def test_a_followed_link_says_where_its_file_stands(folder: Path) -> None:
    (folder / "way").symlink_to("data/deep")
    (folder / "a.txt").symlink_to("way/../../weights.bin")
    (folder / "b.txt").symlink_to("way/part.bin")
    targets = {found.path: found.target for found in scan_folder(folder, Selection().ignore).files}
    assert targets == {
        ".env": None,
        "a.txt": "weights.bin",
        "b.txt": "data/deep/part.bin",
        "data/deep/part.bin": None,
        "weights.bin": None,
    }


async def surveyed(folder: Path, *include: str) -> Scan:
    store = FilesystemStore(folder.parent / "home")
    try:
        order = Order(folder, "n", include=include)
        found = await survey(order, store=store, workers=Workers(1))
        check_survey(order, found)
        return found.scan
    finally:
        store.close()


async def test_a_link_to_a_secret_is_refused_unless_the_secret_itself_is_named(folder: Path) -> None:
    (folder / "conf").mkdir()
    (folder / ".env").rename(folder / "conf" / ".env")
    (folder / "notes.txt").symlink_to("conf/.env")
    for include in ((), ("notes.txt",)):
        with pytest.raises(UsageError, match=r"notes\.txt \(a link to conf/\.env\)"):
            await surveyed(folder, *include)
    assert "notes.txt" in [found.path for found in (await surveyed(folder, ".env")).files]

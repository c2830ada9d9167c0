"""Versions put together file by file: the same through a node of the home as without one, and served to others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import trio

from p2phub import api
from p2phub.errors import ContentChanged, DiskFull, HubError, Malformed, NotFound, UsageError
from tests.support.covers import covers
from tests.support.processes import Scene

END_S = 60.0
MODEL = os.urandom(3 * (1 << 20) + 17)


async def pieces(data: bytes, length: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), length):
        yield data[at : at + length]


async def cut_short() -> AsyncIterator[bytes]:
    yield b"half of it"
    raise ConnectionError


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["alone", "daemon"])
def home(request: pytest.FixtureRequest, scene: Scene) -> Path:
    if request.param == "daemon":
        scene.node("ann")
    return scene.home("ann")


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[api.Hub]:
    with trio.fail_after(END_S):
        async with api.open_hub(home=home, lan=False) as hub:
            yield hub


async def read_all(hub: api.Hub, ref: str) -> dict[str, bytes]:
    async with hub.open_model(ref) as model:
        return {path: b"".join([bytes(piece) async for piece in model.read(path)]) for path in model.files}


async def publish(hub: api.Hub, files: dict[str, bytes], **options: str) -> api.Published:
    async with hub.open_draft() as draft:
        for path, data in files.items():
            await draft.write(path, pieces(data))
        return await draft.publish(name="model", **options)


def left_in_drafts(home: Path) -> list[str]:
    return [path.name for path in (home / "published/drafts").rglob("*") if path.is_file() and path.name != "lock"]


async def test_what_is_written_is_published_and_read_back(home: Path) -> None:
    files = {"README.md": b"# model", "data/model.bin": MODEL, "empty": b""}
    async with opened(home) as hub:
        done = await publish(hub, files, description="a model", kind="dataset")
        assert (done.files, done.bytes) == (3, sum(map(len, files.values())))
        assert await read_all(hub, done.reference) == files
        (item,) = [item for item in await hub.ls() if item["manifest"] == done.manifest]
        assert (item["origin"], item["complete"]) == ("published", True)
    assert left_in_drafts(home) == []


async def test_a_version_on_a_base_changes_what_it_says_and_copies_nothing(home: Path) -> None:
    async with opened(home) as hub:
        first = await publish(hub, {"README.md": b"one", "model.bin": MODEL, "old/a": b"a", "old/b": b"b"})
        async with hub.open_draft(first.reference) as draft:
            assert draft.base == first.manifest
            await draft.write("README.md", pieces(b"two"), size=3, sha256=sha256(b"two"))
            draft.use("copy.bin", sha256(MODEL))
            draft.remove("old")
            second = await draft.publish(name="model")
        assert await read_all(hub, second.reference) == {"README.md": b"two", "model.bin": MODEL, "copy.bin": MODEL}
        assert await read_all(hub, first.manifest) == {
            "README.md": b"one",
            "model.bin": MODEL,
            "old/a": b"a",
            "old/b": b"b",
        }
        assert second.bytes_hashed == 3
        content = [path.stat().st_size for path in (home / "published/content").iterdir()]
        assert sorted(content) == [1, 1, 3, 3, len(MODEL)]


async def test_what_was_changed_after_it_was_written_is_not_published(home: Path) -> None:
    async with opened(home) as hub, hub.open_draft() as draft:
        await draft.write("model.bin", pieces(MODEL))
        (name,) = left_in_drafts(home)
        (place,) = (home / "published/drafts").rglob(name)
        place.chmod(0o600)
        place.write_bytes(MODEL[:-1] + bytes([MODEL[-1] ^ 1]))
        with pytest.raises(ContentChanged, match="is not what it was said to be"):
            await draft.publish(name="model")
        assert await hub.ls() == []


@covers("F04")
@pytest.mark.parametrize("by", ["the same draft", "another draft"])
@pytest.mark.parametrize("full", ["p2phub.store.index.Index.hold", "p2phub.store.ledger.FileLedger.publish"])
async def test_what_a_full_disk_kept_from_being_published_is_published_by_the_next_try(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, full: str, by: str
) -> None:
    def no_room(*args: object, **named: object) -> NoReturn:
        raise DiskFull("no space left")

    async with opened(scene.home("ann")) as hub, hub.open_draft() as intake, hub.open_draft() as draft:
        digits = await intake.receive(pieces(MODEL), size=len(MODEL))
        await draft.write("README.md", pieces(b"# model"))
        draft.use("a/model.bin", digits, received_by=intake)
        with monkeypatch.context() as disk:
            disk.setattr(full, no_room)
            with pytest.raises(DiskFull):
                await draft.publish(name="model")
        if by == "the same draft":
            done = await draft.publish(name="model")
        else:
            async with hub.open_draft() as again:
                await again.write("README.md", pieces(b"# model"))
                if not intake.has(digits):  # It is only sent again where this says so.
                    assert await intake.receive(pieces(MODEL)) == digits
                again.use("a/model.bin", digits, received_by=intake)
                done = await again.publish(name="model")
        assert not intake.has(digits)
        assert await read_all(hub, done.reference) == {"README.md": b"# model", "a/model.bin": MODEL}


async def test_what_one_draft_received_another_may_use(home: Path) -> None:
    async with opened(home) as hub, hub.open_draft() as intake:
        digits = await intake.receive(pieces(MODEL), size=len(MODEL), sha256=sha256(MODEL).upper())
        assert intake.has(digits)
        async with hub.open_draft() as draft:
            draft.use("a/model.bin", digits, received_by=intake)
            done = await draft.publish(name="model")
        assert not intake.has(digits)
        assert await read_all(hub, done.reference) == {"a/model.bin": MODEL}


async def test_a_file_of_another_length_or_digest_than_was_said_is_refused_and_gone(home: Path) -> None:
    async with opened(home) as hub, hub.open_draft() as draft:
        for said in ({"size": 4}, {"size": 6}, {"sha256": sha256(b"other")}, {"sha256": "../x"}):
            with pytest.raises(UsageError):
                await draft.write("a", pieces(b"bytes"), **said)  # type: ignore[arg-type]
        with pytest.raises(ConnectionError):
            await draft.write("a", cut_short())
        assert left_in_drafts(home) == []
        with pytest.raises(UsageError, match="no file to publish"):
            await draft.publish(name="model")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("../out", Malformed),
        ("/etc/x", Malformed),
        ("a/.p2phub/b", Malformed),
        ("keys/id_rsa", UsageError),
        ("a/.git/config", UsageError),
    ],
)
async def test_what_publish_refuses_in_a_folder_is_refused(scene: Scene, path: str, kind: type[HubError]) -> None:
    async with opened(scene.home("ann")) as hub, hub.open_draft() as draft:
        await draft.write(path, pieces(b"bytes"))
        with pytest.raises(kind):
            await draft.publish(name="model")
        assert await hub.ls() == []


async def test_what_is_not_here_cannot_be_used_removed_or_begun_with(scene: Scene) -> None:
    async with opened(scene.home("ann")) as hub:
        async with hub.open_draft() as draft:
            draft.use("a", sha256(b"nowhere"))
            with pytest.raises(NotFound):
                await draft.publish(name="model")
            draft.remove("nothing")
            with pytest.raises(NotFound):
                await draft.publish(name="model")
        with pytest.raises(HubError):
            async with hub.open_draft("nobody/nothing"):
                pass
        assert await hub.ls() == []


async def test_a_secret_that_is_meant_to_be_public_can_be_said_so(scene: Scene) -> None:
    async with opened(scene.home("ann")) as hub, hub.open_draft() as draft:
        await draft.write("public.pem", pieces(b"bytes"))
        done = await draft.publish(name="model", include=["public.pem"])
        assert done.files == 1


async def test_the_quota_holds_for_drafts(scene: Scene) -> None:
    home = scene.home("ann")
    home.mkdir(parents=True)
    (home / "config.toml").write_text('quota = "1MiB"\n')
    async with opened(home) as hub:
        async with hub.open_draft() as draft:
            with pytest.raises(DiskFull):
                await draft.write("model.bin", pieces(MODEL), size=len(MODEL))
            with pytest.raises(DiskFull):
                await draft.write("model.bin", pieces(MODEL))
            await draft.write("small", pieces(b"a" * 700_000))
            await draft.publish(name="model")
        async with hub.open_draft() as draft:  # What is there counts.
            with pytest.raises(DiskFull):
                await draft.write("small", pieces(b"b" * 700_000))
        assert left_in_drafts(home) == []


async def test_a_version_stays_when_it_is_unpublished_and_goes_when_it_is_removed(scene: Scene) -> None:
    home = scene.home("ann")
    async with opened(home) as hub:
        done = await publish(hub, {"model.bin": MODEL})
        assert (await hub.gc())["leftovers"] == []
        assert await read_all(hub, done.reference) == {"model.bin": MODEL}
        await hub.unpublish(done.reference)
        await hub.gc()
        assert await read_all(hub, done.manifest) == {"model.bin": MODEL}
        await hub.remove(done.manifest)
        await hub.gc()
        assert list((home / "published/content").iterdir()) == []


async def test_another_node_fetches_what_was_published_of_a_draft(scene: Scene, tmp_path: Path) -> None:
    ann = scene.node("ann")
    async with opened(scene.home("ann")) as hub:
        done = await publish(hub, {"README.md": b"# model", "model.bin": MODEL})
    async with opened(scene.home("bob")) as hub:
        await hub.fetch(done.reference, into=tmp_path / "got", providers=[ann.address])
    assert (tmp_path / "got/model.bin").read_bytes() == MODEL

"""What other programs have is held where it stands, if it is what it is called; and told of only by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from p2phub import limits
from p2phub.engine.adopt import Adopted, Adoption, adopt
from p2phub.engine.workers import Workers
from p2phub.errors import UsageError
from p2phub.identity import SecretKey
from p2phub.store import Origin, Publication
from p2phub.store.caches import CachedModel, scan_cache
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from tests.support.hub_cache import COMMIT, OTHER_COMMIT, Repository
from tests.support.stores import as_on_a_disk

WEIGHTS = Random(3).randbytes(2 * limits.MIB)


class Home:
    """A home that adopts."""

    def __init__(self, at: Path, name: str) -> None:
        self.store = FilesystemStore(at / name)
        self.ledger = FileLedger(at / name)

    async def adopt(self, hub: Path, announce: Sequence[str] = ()) -> Adoption:
        return await self.adopt_models(scan_cache("hf", hub).models, announce, roots=[hub])

    async def adopt_models(
        self, models: Sequence[CachedModel], announce: Sequence[str], *, roots: Sequence[Path] = ()
    ) -> Adoption:
        told: list[Adopted] = []
        outcome = await adopt(
            models,
            roots=roots,
            announce=announce,
            store=self.store,
            ledger=self.ledger,
            workers=Workers(),
            watch=lambda event: None,
            adopted=told.append,
        )
        assert tuple(told) == outcome.adopted
        return outcome

    def close(self) -> None:
        self.store.close()
        self.ledger.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(limits, "RACY_FINGERPRINT_S", 0)  # As if the files had been left alone for long.
    as_on_a_disk(monkeypatch)
    made = Home(tmp_path, "home")
    yield made
    made.close()


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def repository(hub: Path, name: str = "models--org--name", commit: str = COMMIT) -> Repository:
    made = Repository(hub, name, commit)
    made.add("config.json", b"{}")
    made.add("sub/model.safetensors", WEIGHTS, lfs=True)
    made.list()
    return made


async def test_two_who_have_the_same_commit_have_the_same_manifest(tmp_path: Path, hub: Path, home: Home) -> None:
    repository(hub)
    repository(tmp_path / "other")
    other = Home(tmp_path, "other-home")
    (one,), (two,) = (await home.adopt(hub)).adopted, (await other.adopt(tmp_path / "other")).adopted
    other.close()
    assert one.manifest is not None
    assert one.manifest == two.manifest
    (held,) = home.store.holdings()
    assert held.complete
    assert (held.origin, held.folder) == (Origin.ADOPTED, one.model.folder)
    assert held.source is not None
    assert (held.source.name, held.source.revision) == ("org/name", COMMIT)
    plan = home.store.read_plan(one.manifest)
    assert plan is not None
    file = plan.open(1)
    assert os.pread(file.descriptor, len(WEIGHTS) + 1, 0) == WEIGHTS
    file.close()


async def test_a_file_that_is_not_what_it_is_called_is_not_held(hub: Path, home: Home) -> None:
    for blob in repository(hub).blobs.iterdir():
        if blob.stat().st_size == len(WEIGHTS):
            blob.write_bytes(WEIGHTS[::-1])
    (found,) = (await home.adopt(hub)).adopted
    assert found.manifest is None
    assert found.alone == ()
    assert "is not what it is called" in found.problems[-1][1]
    assert home.store.holdings() == ()


async def test_of_a_repository_that_lacks_files_the_large_ones_are_held_alone(hub: Path, home: Home) -> None:
    made = Repository(hub, "models--org--name")
    made.add("model.safetensors", WEIGHTS, lfs=True)
    made.add("config.json", b"{}")
    made.add("more.safetensors", b"not here", lfs=True, there=False)
    made.list()
    (found,) = (await home.adopt(hub)).adopted
    assert found.manifest is None
    ((digest, place),) = found.alone
    assert place.read_bytes() == WEIGHTS
    (held,) = home.store.holdings()
    assert (held.manifest, held.folder) == (digest, place)
    made.add("more.safetensors", b"not here", lfs=True)  # The rest has come.
    made.list()
    (found,) = (await home.adopt(hub)).adopted
    assert found.manifest is not None
    assert [each.manifest for each in home.store.holdings()] == [found.manifest]


async def test_nothing_is_told_of_that_was_not_named_and_a_later_look_widens_nothing(hub: Path, home: Home) -> None:
    repository(hub)
    repository(hub, "models--org--gated")
    outcome = await home.adopt(hub, announce=["org/name"])
    by_name = {each.model.name: each.manifest for each in outcome.adopted}
    # The same content under two names is one manifest: named once, it is told of.
    assert by_name["org/gated"] == by_name["org/name"]
    other = Repository(hub, "models--org--gated", OTHER_COMMIT)
    other.add("secret.bin", WEIGHTS[::-1], lfs=True)
    other.list()
    outcome = await home.adopt(hub)
    new = next(each.manifest for each in outcome.adopted if each.model.revision == OTHER_COMMIT)
    assert new is not None
    assert home.ledger.withheld() == {new}
    assert by_name["org/name"] not in home.ledger.withheld()
    with pytest.raises(UsageError, match="org/nobody"):
        await home.adopt(hub, announce=["org/nobody"])


async def test_what_is_known_is_not_hashed_again_and_what_is_gone_is_forgotten(hub: Path, home: Home) -> None:
    made = repository(hub)
    repository(hub, "models--org--other", OTHER_COMMIT)
    first = await home.adopt(hub)
    assert first.bytes_hashed > 0
    again = await home.adopt(hub)
    assert (again.bytes_hashed, again.gone) == (0, ())
    for path in sorted(made.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    made.folder.rmdir()
    assert len((await home.adopt(hub)).gone) == 1
    assert [held.folder.parts[-3] for held in home.store.holdings()] == ["models--org--other"]


async def test_a_disk_that_is_not_mounted_forgets_nothing(tmp_path: Path, hub: Path, home: Home) -> None:
    repository(hub)
    await home.adopt(hub)
    hub.rename(tmp_path / "elsewhere")
    hub.mkdir()
    assert (await home.adopt(hub)).gone == ()
    assert len(home.store.holdings()) == 1


async def test_a_place_that_may_not_be_read_any_more_ends_nothing_and_forgets_nothing(
    tmp_path: Path, hub: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(hub)
    await home.adopt(hub)
    for name in ("scandir", "listdir"):
        real = getattr(os, name)

        def refuse(path: Any = ".", real: Any = real) -> Any:
            if isinstance(path, int) or Path(path) != hub:
                return real(path)
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, name, refuse)
    outcome = await home.adopt(hub)
    assert (outcome.adopted, outcome.gone) == ((), ())
    assert len(home.store.holdings()) == 1


@pytest.mark.parametrize("ways", [("link", "link"), ("link", "hub"), ("hub", "link")])
async def test_what_is_gone_is_forgotten_by_whatever_way_its_cache_is_named(
    tmp_path: Path, hub: Path, home: Home, ways: tuple[str, str]
) -> None:
    (tmp_path / "link").symlink_to(hub)
    before, now = (tmp_path / way for way in ways)
    whole, part = repository(hub), Repository(hub, "models--org--part")
    repository(hub, "models--org--stays", OTHER_COMMIT)
    part.add("model.safetensors", WEIGHTS[::-1], lfs=True)  # Held alone, by the real path of its blob.
    assert len((await home.adopt(before)).adopted) == 3
    for made in (whole, part):
        shutil.rmtree(made.folder)
    assert len((await home.adopt(now)).gone) == 2
    assert {held.folder.parts[-3] for held in home.store.holdings()} == {"models--org--stays"}


async def test_what_was_announced_alone_stays_so_when_the_rest_of_its_repository_has_come(
    hub: Path, home: Home
) -> None:
    made = Repository(hub, "models--org--name")
    made.add("model.safetensors", WEIGHTS, lfs=True)
    rest = made.add("config.json", b"{}", there=False)
    made.list()
    (before,) = (await home.adopt(hub, ["org/name"])).adopted
    ((alone, _),) = before.alone
    assert before.announced
    rest.write_bytes(b"{}")
    made.link("config.json", rest)
    outcome = await home.adopt(hub)
    (now,) = outcome.adopted
    assert now.manifest is not None
    assert (now.announced, now.announced_before, outcome.gone) == (False, True, ())
    assert {held.manifest for held in home.store.holdings()} == {alone, now.manifest}
    assert home.ledger.withheld() == {now.manifest}
    (again,) = (await home.adopt(hub)).adopted
    assert not again.announced_before  # It is said once.
    (named,) = (await home.adopt(hub, ["org/name"])).adopted
    assert (named.announced, home.ledger.withheld()) == (True, frozenset())


async def test_a_new_commit_of_what_is_announced_is_withheld_and_said_to_be(hub: Path, home: Home) -> None:
    repository(hub)
    await home.adopt(hub, ["org/name"])
    (again,) = (await home.adopt(hub)).adopted
    assert (again.announced, again.announced_before) == (True, False)
    newer = Repository(hub, "models--org--name", OTHER_COMMIT)
    newer.add("model.safetensors", WEIGHTS[::-1], lfs=True)
    newer.list()
    repository(hub, "models--org--unknown").add("new.bin", WEIGHTS[1:], lfs=True)
    told = {(each.model.name, each.model.revision): each for each in (await home.adopt(hub)).adopted}
    assert told["org/name", COMMIT].announced
    new = told["org/name", OTHER_COMMIT]
    assert (new.announced, new.announced_before) == (False, True)
    assert not told["org/unknown", COMMIT].announced_before


async def test_a_file_of_a_whole_and_of_a_partial_snapshot_is_held_alone_as_is_told(hub: Path, home: Home) -> None:
    part = Repository(hub, "models--org--name", OTHER_COMMIT)
    part.add("model.safetensors", WEIGHTS, lfs=True)
    part.add("more.json", b"1", there=False)
    part.list()
    whole = Repository(hub, "models--org--name", COMMIT)
    whole.add("model.safetensors", WEIGHTS, lfs=True)
    whole.list()
    for _ in range(2):
        first, second = (await home.adopt(hub)).adopted
        assert (first.manifest, second.alone) == (None, ())
        ((alone, _),) = first.alone
        assert {held.manifest for held in home.store.holdings()} == {alone, second.manifest}


async def test_what_is_published_privately_is_not_told_to_be_announced(hub: Path, home: Home) -> None:
    made = repository(hub)
    (found,) = (await home.adopt(hub)).adopted
    assert found.manifest is not None
    home.ledger.publish(Publication(SecretKey(b"k" * 32).peer_id, "n", "main", found.manifest, made.folder, b"", True))
    (named,) = (await home.adopt(hub, ["org/name"])).adopted
    assert not named.announced


async def test_a_name_of_two_caches_announces_neither(hub: Path, home: Home) -> None:
    repository(hub)
    studio = hub.parent / "studio"
    (studio / "org" / "name").mkdir(parents=True)
    (studio / "org" / "name" / "m.gguf").write_bytes(WEIGHTS[::-1])
    models = (*scan_cache("hf", hub).models, *scan_cache("lmstudio", studio).models)
    with pytest.raises(UsageError, match="several caches: hf, lmstudio") as refused:
        await home.adopt_models(models, ["org/name"])
    assert "--announce lmstudio:org/name" in (refused.value.hint or "")
    assert home.store.holdings() == ()
    outcome = await home.adopt_models(models, ["lmstudio:org/name"])
    assert {each.model.cache: each.announced for each in outcome.adopted} == {"hf": False, "lmstudio": True}

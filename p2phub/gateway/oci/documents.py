"""Documents made of versions: what an OCI client, or Ollama, is given to read before it pulls the files named in it.

Which one of a version is a recipe: the form, and which of its GGUF files. It is the same each time that it is made, so
it is made when it is asked for, and not kept for long; what digests it was called by then, its version remembers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from hashlib import sha256

import msgspec
import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import Malformed
from p2phub.gateway.oci.choosing import by_quantisation, without_others
from p2phub.gateway.oci.modelpack import modelpack
from p2phub.gateway.oci.refusals import no_manifest
from p2phub.gateway.oci.routes import MODELPACK_MEDIA_TYPE, Form
from p2phub.gateway.routes import Kind
from p2phub.gateway.shelf import File, Shelf, Snapshot
from p2phub.http.refusal import Refusal

MANY_FILES = 500  # Some 10 ms to write down.


class Document(msgspec.Struct, frozen=True):
    """What names what to pull, and the config that it names beside files."""

    media_type: str
    content: bytes
    config: bytes

    @property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()

    @property
    def config_sha256(self) -> str:
        return sha256(self.config).hexdigest()


class Recipe(msgspec.Struct, frozen=True):
    """Which document of a version: `chosen` are the paths of the GGUF files in it; none: all of them."""

    form: Form
    chosen: tuple[str, ...] = ()


class Version:
    """A version, and what is known to be called by digests of what is made of it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.recipes: dict[str, Recipe] = {}  # By the digests of documents and configs.
        self._by_digest: Mapping[str, File] = {}

    @cached_property
    def weights(self) -> Sequence[File]:
        return api.gguf_weights(self.files)

    @property
    def files(self) -> tuple[File, ...]:
        """None of one that has more than a document can name: nobody was told of them here."""
        return self.snapshot.files if len(self.snapshot.files) <= limits.OCI_LAYERS_MAX else ()

    def find(self, digest: str) -> File | None:
        if not self._by_digest:
            self._by_digest = {file.sha256: file for file in self.files}
        return self._by_digest.get(digest)

    def recipe(self, form: Form, wanted: Sequence[File]) -> Recipe:
        """Return what a document of all files but for the GGUF files that are not `wanted` is made by."""
        chosen = tuple(file.path for file in wanted)
        has_all = form is Form.PACK and len(chosen) == len(self.weights)
        return Recipe(form, () if has_all else chosen)

    def all_recipes(self, form: Form) -> list[Recipe]:
        """Return those of every document that a tag can lead to: within OCI_GGUF_MAX of them for single files."""
        alone = [file for file in self.weights if form is Form.PACK or not api.is_gguf_shard(file.path)]
        single = [[file] for file in alone[: limits.OCI_GGUF_MAX]]
        if form is Form.OLLAMA:
            return [self.recipe(form, one) for one in single]
        several = list(by_quantisation(self.files).values())[: limits.OCI_GGUF_MAX]
        return list(dict.fromkeys([Recipe(form), *(self.recipe(form, files) for files in [*several, *single])]))


class Documents:
    """Makes them, of versions of a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._facts: OrderedDict[str, api.GgufFacts | None] = OrderedDict()
        self._headers = trio.Semaphore(limits.OCI_HEADERS_READ_MAX)
        self._made: OrderedDict[tuple[Version, Recipe], Document] = OrderedDict()
        self._writing = trio.Lock()

    async def make(self, version: Version, recipe: Recipe) -> Document:
        """Make a document, and remember by what digests it and its config are called. Raises Refusal(404) for what none
        can be of."""
        if not version.files:
            raise _too_large(version.snapshot)
        document = self._made.get((version, recipe))
        if document is None:
            if recipe.form is Form.OLLAMA:
                document = await self._make_image(version.snapshot, recipe.chosen[0])
            else:
                document = await self._make_pack(version, recipe)
            if len(document.content) > limits.OCI_MANIFEST_BYTES_MAX:
                raise _too_large(version.snapshot)
            keep(self._made, (version, recipe), document, most=limits.OCI_DOCUMENTS_KEPT_MAX)
        version.recipes[document.sha256] = version.recipes[document.config_sha256] = recipe
        return document

    async def _make_pack(self, version: Version, recipe: Recipe) -> Document:
        make = partial(_pack, version.snapshot.repo.kind, version.files, recipe.chosen)
        if len(version.files) <= MANY_FILES:
            return make()
        async with self._writing:  # One at a time: it takes long, and who waited may find it made.
            made = self._made.get((version, recipe))
            return made if made is not None else await trio.to_thread.run_sync(make)

    async def _make_image(self, snapshot: Snapshot, path: str) -> Document:
        model = next(file for file in snapshot.files if file.path == path)
        if api.is_gguf_shard(model.path):
            raise no_manifest(f"{path} is one of several files that are one model, which Ollama does not take")
        parts: list[tuple[api.OllamaKind, File]] = [("model", model), *api.given_with_gguf(snapshot.files)]
        facts = await self._facts_of(snapshot, model)
        image = api.ollama_image(facts, [api.OllamaPart(kind, file.sha256, file.size) for kind, file in parts])
        return Document(api.OLLAMA_MEDIA_TYPE, image.manifest, image.config)

    async def _facts_of(self, snapshot: Snapshot, file: File) -> api.GgufFacts | None:
        """Return what the header of a model says; None where it breaks a rule: Ollama may know better. Raises Refusal
        for what is no GGUF file."""
        async with self._headers:
            if file.sha256 not in self._facts:
                async with self._shelf.open(snapshot, file) as content:
                    facts = await api.examine(content.read, partial(_facts_in_header, file))
                keep(self._facts, file.sha256, facts, most=limits.OCI_FACTS_KEPT_MAX)
            return self._facts[file.sha256]


def _pack(kind: Kind, files: Sequence[File], chosen_paths: Sequence[str]) -> Document:
    kept = [file for file in files if file.path in chosen_paths]
    config, content = modelpack(kind, without_others(files, kept) if chosen_paths else files)
    return Document(MODELPACK_MEDIA_TYPE, content, config)


def _facts_in_header(file: File, read_at: Callable[[int, int], bytes]) -> api.GgufFacts | None:
    if not api.looks_like_gguf(read_at(0, min(file.size, limits.KIB))):
        raise no_manifest(f"{file.path} is no GGUF file")
    try:
        return api.gguf_facts(file.size, read_at)
    except Malformed:
        return None


def _too_large(snapshot: Snapshot) -> Refusal:
    most = limits.OCI_MANIFEST_BYTES_MAX // limits.MIB
    return no_manifest(
        f"{snapshot.repo.name} has {len(snapshot.files)} files, more than a manifest of {most} MiB can name,"
        " which is what OCI clients take"
    )

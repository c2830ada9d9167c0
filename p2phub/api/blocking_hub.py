"""A hub that stays open, for programs without trio: files and tensors of a reference, read without fetching the rest.

    with blocking.open_hub() as hub:
        with hub.safe_open("12D3Koo…/minilm", "model.safetensors") as weights:
            rows = weights.get_slice("embeddings.word_embeddings.weight")[100:200]
        done = hub.call(lambda hub: hub.fetch("12D3Koo…/minilm"))      # any verb, by its async name

Each method waits until it is done; any number of threads may call at once. What they give is closed with the hub.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack

from p2phub.api.background import Background, Options
from p2phub.api.hub import Hub
from p2phub.api.reading import OpenedFile, OpenedRelease, OpenModel
from p2phub.api.verbs import unwatched
from p2phub.api.weights import Index, Slice, Weights
from p2phub.observe import Watch

T = TypeVar("T")


class _Closing:
    """What is to be closed, or the context of a `with` block."""

    def close(self) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlockingHub(_Closing):
    """A hub that is open until `close`. `options`: home, bootstrap, lan, as for `open_hub`; raises what that does."""

    def __init__(self, **options: Unpack[Options]) -> None:
        self._background = Background(**options)

    def call(self, verb: Callable[[Hub], Awaitable[T]]) -> T:
        """Return what `verb` gives for the hub, a method of `Hub` or whatever runs on trio. Raises what it raises, and
        UsageError where the hub was closed before."""
        return self._background.call(verb)

    def open_model(
        self,
        ref: str,
        *,
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        wait: str | float | None = None,
        watch: Watch = unwatched,
    ) -> BlockingModel:
        """Return the files of `ref`, open for reading until they are closed; see `Hub.open_model`. `wait`: seconds, or
        a text. Raises UsageError, Malformed, NotFound, NotTrusted, NoProvider, Damaged, DiskError."""

        async def enter(hub: Hub) -> OpenModel:
            return await hub.open_model(ref, providers=providers, mirrors=mirrors, wait=wait, watch=watch).__aenter__()

        return BlockingModel(self, self.call(enter))

    def safe_open(
        self,
        ref: str,
        path: str = "model.safetensors",
        *,
        framework: str = "numpy",
        providers: Sequence[str] = (),
        mirrors: Sequence[str] = (),
        wait: str | float | None = None,
        watch: Watch = unwatched,
    ) -> BlockingWeights:
        """Return the tensors of a safetensors file of `ref`, or of one cut into shards, each read when it is asked for;
        see `Hub.safe_open`. `wait`: seconds, or a text. Raises what `open_model` does."""

        async def enter(hub: Hub) -> Weights:
            weights = hub.safe_open(
                ref, path, framework=framework, providers=providers, mirrors=mirrors, wait=wait, watch=watch
            )
            return await weights.__aenter__()

        return BlockingWeights(self, self.call(enter))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._background.closed

    def close(self) -> None:
        """End what is under way, and the hub."""
        self._background.close()

    def __enter__(self) -> BlockingHub:
        return self


class BlockingModel(_Closing):
    """The files of one manifest, open for reading: `OpenModel`, whose methods wait."""

    def __init__(self, hub: BlockingHub, model: OpenModel) -> None:
        self._hub = hub
        self.model = model
        """The same for trio, in the hub's thread: for `BlockingHub.call`."""

    @property
    def reference(self) -> str:
        """As it was asked for."""
        return self.model.reference

    @property
    def manifest(self) -> str:
        """Its digest, as text."""
        return self.model.manifest

    @property
    def release(self) -> OpenedRelease | None:
        """What the publisher signed that led here, if anything did."""
        return self.model.release

    @property
    def files(self) -> Mapping[str, OpenedFile]:
        """The files by path, in the order of paths; sizes in bytes."""
        return self.model.files

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes `start` ..< `stop` (None: to the end) of a file, verified; what is behind its end is left out.
        Raises as `OpenModel.read` does."""
        return bytes(self._hub.call(lambda hub: self.model.gather(path, start, stop)))

    def close(self) -> None:
        """End all reads. What came is kept in the home's own store."""
        if not self._hub.closed:
            self._hub.call(lambda hub: self.model.__aexit__(None, None, None))

    def __enter__(self) -> BlockingModel:
        return self


class BlockingWeights(_Closing):
    """The tensors of a safetensors file that need not be here: `Weights`, whose methods wait, as those of
    `safetensors.safe_open` do."""

    def __init__(self, hub: BlockingHub, weights: Weights) -> None:
        self._hub, self._weights = hub, weights
        self._owns_hub = False

    def owning_hub(self) -> BlockingWeights:
        """Have the hub closed with it; returns itself."""
        self._owns_hub = True
        return self

    def keys(self) -> list[str]:
        """Return the names of the tensors, in the order of names."""
        return self._weights.keys()

    def metadata(self) -> dict[str, str] | None:
        """Return what the header says beside the tensors, texts by texts; None if nothing. Of shards, the first's."""
        return self._weights.metadata()

    def get_tensor(self, name: str) -> Any:
        """Return a tensor. Raises NotFound if there is none of that name, Damaged, and as `OpenModel.read` does."""
        return self._hub.call(lambda hub: self._weights.get_tensor(name))

    def get_slice(self, name: str) -> BlockingSlice:
        """Return a tensor of which rows can be read. Raises as `get_tensor` does."""
        return BlockingSlice(self._hub, self._hub.call(lambda hub: self._weights.get_slice(name)))

    def close(self) -> None:
        """End it. What came is kept in the home's own store."""
        if not self._hub.closed:
            self._hub.call(lambda hub: self._weights.__aexit__(None, None, None))
        if self._owns_hub:
            self._hub.close()

    def __enter__(self) -> BlockingWeights:
        return self


class BlockingSlice:
    """A tensor of which rows can be read: `part[10:20]`, `part[3]`, `part[10:20, :4]`, `part[...]`."""

    def __init__(self, hub: BlockingHub, part: Slice) -> None:
        self._hub, self._part = hub, part

    def get_shape(self) -> list[int]:
        """Return the dimensions."""
        return self._part.get_shape()

    def get_dtype(self) -> str:
        """Return the type of the values, as the format calls it: "F32"."""
        return self._part.get_dtype()

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Any:
        """Return that part, as an array of its own. Raises IndexError for rows that are not there, and as
        `OpenModel.read` does."""
        return self._hub.call(lambda hub: self._part[index])

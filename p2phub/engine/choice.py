"""What a user asked for of a manifest, as they said it; `choosing` finds out what that is."""

from __future__ import annotations

import msgspec


class Choice(msgspec.Struct, frozen=True):
    """`include`, `exclude`: gitignore patterns of files; `tensors`: shell patterns of their names. All empty:
    everything."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude or self.tensors)

"""What a user asked for of a manifest, as they said it; `choosing` finds out what that is."""

from __future__ import annotations

import msgspec


class Choice(msgspec.Struct, frozen=True):
    """`include`, `exclude`: gitignore patterns of files; `tensors`: shell patterns of their names; `columns` of tables:
    likewise; `row_groups` of tables: numbers from 0, or ranges with both ends ("0-3"). All empty: everything."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    row_groups: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude or self.looks_inside)

    @property
    def looks_inside(self) -> bool:
        """Whether parts of files are wanted."""
        return bool(self.tensors or self.columns or self.row_groups)

"""When something was published, as a date. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

_YEAR_10000 = 253_402_300_799  # The last second that a date can be written of.


def moment_of(unix_s: int | None) -> datetime:
    """Return the date of a time in seconds since 1970: of what nobody says the first, of what is beyond all dates the
    last. A release may say any, and one that a ticket leads to is not held against the clock."""
    return datetime.fromtimestamp(min(unix_s or 0, _YEAR_10000), UTC)

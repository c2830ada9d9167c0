"""Which bytes of a file a `Range` header asks for. Pure.

One range is answered (206), or refused if it lies behind the end (416). What is no range of bytes, and several at once,
are as if nothing had been said: the whole is sent, as RFC 9110 lets a server do. Source: RFC 9110 §14.
"""

from __future__ import annotations

import re

from p2phub.http.refusal import Refusal

_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE)
_DIGITS_MAX = 19  # No file has more bytes; a number of more digits is as large as one that does not matter.


def wanted_span(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, stop) of the bytes wanted of `size`, at least one; None: all of them, as without a header.

    Raises Refusal(416) for a range that begins behind the end, or asks for the last 0 bytes.
    """
    asked = _RANGE.fullmatch(header) if header is not None else None
    if asked is None:
        return None
    first, last, tail = asked.groups()
    if tail is not None:
        length = _number(tail)
        if length and not size:
            return None  # The last bytes of nothing are all of it, which no Content-Range can say.
        start, stop = max(0, size - length), size
    else:
        start, stop = _number(first), size
        if last:
            if _number(last) < start:
                return None
            stop = min(_number(last) + 1, size)
    if start >= stop:
        headers = [("Content-Range", f"bytes */{size}")]
        raise Refusal(416, f"the file has {size} bytes, and the range lies behind them", headers=headers)
    return start, stop


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS_MAX else 10**_DIGITS_MAX

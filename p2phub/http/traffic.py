"""What goes over one port, counted as it goes, for whoever watches over it. No path and no client is a word here.

One owner of each number: `server` counts connections, `connection` bytes, `front` the answers, by the site that gave
them.
"""

from __future__ import annotations

from collections import Counter

import msgspec


class Traffic(msgspec.Struct):
    """`connections`: open now; `turned_away`: since the port opened, for want of a place. `answers`: by the site's
    first part of paths ("": the one for the rest) and the class of its status, as "2xx"; `cut`: those that ended short
    of what their heads said. Bytes are those on the wire, heads included."""

    connections: int = 0
    turned_away: int = 0
    answers: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    cut: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    def answered(self, site: str, status: int) -> None:
        self.answers[site, f"{status // 100}xx"] += 1

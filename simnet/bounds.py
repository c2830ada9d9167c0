"""How much a node may have in memory, keep open and do at once at most, as far as that is seen from outside.

Memory: a link has one buffer of BATCH_BYTES_MAX, and writes what came before it reads on; beside that there is the
beginning of the content, which may come before it is known where it goes. Connections: each fetch has BULK_THREADS_MAX
links, in a crowd CROWD_LINKS_MAX, and one control connection to a peer; a provider has places for so many, and for so
many of one peer. Tasks: some for the node and for each of its connections.
"""

from __future__ import annotations

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet
from simnet.network import Host, Stream

TASKS_MAX = 40  # Of a node without connections: its process, its fetch, dials and searches. 17 are the most seen.
TASKS_PER_CONNECTION_MAX = 3
TASKS_PER_LIBP2P_CONNECTION_MAX = 16  # Each of its streams has some, and is short: up to 8 are seen.


class Hands:
    """What one node took off its connections, and has not written yet. `links`: how many bulk connections it has that
    receive; each has a thread."""

    def __init__(self, table: ChunkTable) -> None:
        self._table = table
        self._held = RangeSet()
        self.written = RangeSet()
        self.links = 0

    @property
    def bytes_held(self) -> int:
        return self._table.bytes_of(self._held)

    @property
    def bytes_max(self) -> int:
        return self.links * limits.BATCH_BYTES_MAX + limits.PREFIX_BYTES_MAX

    def took(self, chunks: RangeSet) -> None:
        """Note that `chunks` came. Those that are on the disk already came in vain, and are let go of."""
        self._held |= chunks - self.written

    def wrote(self, chunks: RangeSet) -> None:
        self.written |= chunks
        self._held -= chunks

    def let_go(self, chunks: RangeSet) -> None:
        self._held -= chunks

    def empty(self) -> None:
        self._held = RangeSet()


def too_many_connections(stream: Stream, *, in_crowd: bool) -> str:
    """Return what is wrong with the connections of the host of `stream`, which is one of them; "" if nothing is.

    `in_crowd`: others fetch the same, or did.
    """
    host, other, dialled, kind = stream.host, stream.other, stream.dialled, stream.kind
    alike = [each for each in host.streams if each.dialled == dialled and each.kind and not each.apart]
    count = sum(each.kind == kind for each in alike)
    if dialled and kind == "bulk":
        most = limits.CROWD_LINKS_MAX if in_crowd else limits.BULK_THREADS_MAX
        return f"{host.name} has {count} links, and may have {most}" if count > most else ""
    if dialled:
        to_it = sum(each.other is other and each.kind == kind for each in alike)
        return f"{host.name} has {to_it} control connections to {other.name}" if to_it > 1 else ""
    places = limits.DATA_CONNECTIONS_MAX if kind == "bulk" else limits.CONTROL_CONNECTIONS_MAX
    if count > places:
        return f"{host.name} serves {count} {kind} connections, and has {places} places"
    of_it = sum(each.other is other for each in alike)
    if of_it > limits.CONNECTIONS_PER_PEER_MAX:
        return f"{host.name} serves {of_it} connections of {other.name}, and may {limits.CONNECTIONS_PER_PEER_MAX}"
    return ""


def too_many_tasks(host: Host, tasks: int) -> str:
    """Return what is wrong with a host's node having `tasks` tasks; "" if nothing is."""
    apart = sum(stream.apart for stream in host.streams)
    most = TASKS_MAX + TASKS_PER_CONNECTION_MAX * len(host.streams)
    most += (TASKS_PER_LIBP2P_CONNECTION_MAX - TASKS_PER_CONNECTION_MAX) * apart
    return f"{host.name} has {tasks} tasks with {len(host.streams)} connections" if tasks > most else ""

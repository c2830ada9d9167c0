"""What each network holds of a full store's places, and who gives way there. Pure.

Identities and keys cost nothing: whoever may put records under as many as it likes would wash out everybody else's,
whatever decides among single ones. So the network that holds most gives up its oldest to who comes from another, and
nobody takes a place of one that holds no more than its own. Loopback and private networks (None) are not counted, and
what came from there gives way to no stranger: `network_of` says why. Source: proto/discovery.md §5; threat T08.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Shares(Generic[T]):
    """The records of a store by the network they came from, oldest first."""

    def __init__(self) -> None:
        self._of: dict[str, dict[T, None]] = {}
        self._network: dict[T, str | None] = {}

    def __len__(self) -> int:
        return len(self._network)

    def came(self, record: T, network: str | None) -> None:
        """Note that `record` came from `network`. One that came before is counted where less is held, or not at all:
        who repeats what is another's does not have it counted as its own."""
        if record in self._network:
            known = self._network[record]
            if known is None or (network is not None and self.held(network) >= self.held(known) - 1):
                return
            self.went(record)
        self._network[record] = network
        if network is not None:
            self._of.setdefault(network, {})[record] = None

    def went(self, record: T) -> None:
        """Note that `record` is gone."""
        network = self._network.pop(record, None)
        if network is not None:
            del self._of[network][record]
            if not self._of[network]:
                del self._of[network]

    def held(self, network: str | None) -> int:
        """Return how many records of `network` there are; 0 of those that are not counted."""
        return len(self._of.get(network, ())) if network is not None else 0

    def surplus(self, newcomer: str | None) -> T | None:
        """Return the record that gives way to one from `newcomer`: the oldest of the network that holds most, if that
        is more than the newcomer's would with one more."""
        most = max(self._of.values(), key=len, default={})
        return next(iter(most)) if len(most) > self.held(newcomer) + 1 else None

    def may_have(self, newcomer: str | None, record: T) -> bool:
        """Whether one from `newcomer` may have the place of `record`, for whatever other reason."""
        network = self._network.get(record)
        return newcomer is None or network == newcomer or self.held(network) > self.held(newcomer)

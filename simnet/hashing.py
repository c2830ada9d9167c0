"""A processor that checks digests at a bounded rate: the production requester, and what it receives takes that long."""

from __future__ import annotations

import math

from p2phub.wire import BulkRequester, RequesterEvent
from simnet.det import pause


class SlowRequester(BulkRequester):
    """`hashes`: bytes a second."""

    hashes = math.inf

    def receive(self, data: memoryview) -> tuple[RequesterEvent, ...]:
        if self.hashes < math.inf:
            pause(len(data) / self.hashes)
        return super().receive(data)

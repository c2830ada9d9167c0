"""What the node's processes use, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys

from p2phub.node.processes import uses, uses_json

CHILD = "import sys; held = bytearray(50_000_000); print(flush=True); sys.stdin.read()"


def test_memory_and_descriptors_of_this_process_and_of_a_child_are_counted_together() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        own, bulk = uses([child.pid])
        assert (own.pid, own.role) == (os.getpid(), "node")
        assert (bulk.pid, bulk.role) == (child.pid, "bulk")
        assert bulk.anonymous_bytes > 50_000_000
        assert bulk.descriptors == 3
        told = uses_json([own, bulk])
        assert told["anonymous_bytes"] == own.anonymous_bytes + bulk.anonymous_bytes
        assert told["descriptors"] == own.descriptors + 3
        child.communicate()
    assert [use.role for use in uses([child.pid])] == ["node"]

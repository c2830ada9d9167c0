"""Read from /proc what a process and its descendants cost: CPU seconds, and memory.

Anonymous memory (RssAnon) is what a process has made its own; mapped files and the page cache are not in it. Resident
memory (VmHWM, its peak) has mapped files in it, too. Pages that a forked child still shares with its parent count for
both, so a sum over a family is an upper bound.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same id: id, and start time in clock ticks."""

    pid: int
    start_ticks: int


def descendants(pid: int) -> tuple[Identity, ...]:
    """Return the living descendants of a process, nearest first. One that has ended has none."""
    found: list[Identity] = []
    parents = [pid]
    while parents:
        children = [child for parent in parents for child in _children(parent)]
        found += [identity for child in children if (identity := _identity(child)) is not None]
        parents = children
    return tuple(found)


def session_members(leader_pid: int) -> tuple[Identity, ...]:
    """Return the living processes of the session that this process began, also when it has ended itself."""
    everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    sessions = ((pid, fields) for pid in everyone if (fields := _stat(pid)))
    return tuple(Identity(pid, int(fields[19])) for pid, fields in sessions if int(fields[3]) == leader_pid)


def is_alive(process: Identity) -> bool:
    """Say whether exactly this process is still there."""
    return _identity(process.pid) == process


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, its descendants, and those of its children that it has waited for."""
    family = (pid, *(member.pid for member in descendants(pid)))
    return sum(sum(map(int, fields[11:15])) for member in family if (fields := _stat(member))) / _TICKS_PER_S


def anonymous_bytes(pid: int) -> int:
    """Return the anonymous memory of a process and its descendants now."""
    return _memory_bytes(pid, "RssAnon:")


def peak_resident_bytes(pid: int) -> int:
    """Return the highest resident memory of a process so far, and of its living descendants."""
    return _memory_bytes(pid, "VmHWM:")


def _memory_bytes(pid: int, field: str) -> int:
    return sum(_field_bytes(member, field) for member in (pid, *(child.pid for child in descendants(pid))))


def _field_bytes(pid: int, field: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0  # ended, or a zombie: it has no memory any more


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():  # children belong to the thread that started them
            found += [int(child) for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def _identity(pid: int) -> Identity | None:
    fields = _stat(pid)
    return Identity(pid, int(fields[19])) if fields else None


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command's name (which may hold spaces): index 0 is the state."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []

"""Can this node be reached from outside, and if not, what to do: checks that end in advice.

Whether we can be reached is asked of a peer, which dials back; nothing we can see ourselves would tell.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from p2phub import limits
from p2phub.errors import HubError, Malformed, PeerError
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net import Dialler
from p2phub.wire import Probe, Probed

PEERS_ASKED = 3
ASK_S = 12.0  # Dialling, asking, and the peer's own dial back.
ROOM_WARNED_BYTES = 1 << 30

LAN_SWITCH = "it is started without --no-lan and P2PHUB_NO_LAN, and without `lan = false` in config.toml"
"""What has to be so that nodes of the local network find each other."""

Finding = dict[str, Any]


def finding(check: str, ok: bool, detail: str, hint: str | None = None) -> Finding:
    """Return one check's outcome as `p2phub doctor` shows it."""
    return {"check": check, "ok": ok, "detail": detail, "hint": hint}


def examine_home(home: Path) -> list[Finding]:
    """Look at the home's disk. Blocks."""
    found = []
    writable = os.access(home, os.W_OK)
    found.append(
        finding("home", writable, str(home), None if writable else "make the folder writable, or choose another --home")
    )
    found += _open_to_others(home)
    there = next(each for each in (home, *home.parents) if os.path.exists(each))
    free = shutil.disk_usage(there).free
    room = free >= ROOM_WARNED_BYTES
    hint = None if room else "make room: models are large"
    found.append(finding("disk", room, f"{free / 1e9:.1f} GB free where the home is", hint))
    return found


def _open_to_others(home: Path) -> list[Finding]:
    """Return what is wrong with a home that all users may put files into: settings, say."""
    try:
        mode = stat.S_IMODE(os.stat(home).st_mode)
    except OSError:
        return []
    if not mode & stat.S_IWOTH:
        return []
    return [finding("home", False, f"all users may put files into {home} (mode {mode:04o})", f"chmod o-w {home}")]


def examine_closed_home(home: Path, error: HubError) -> list[Finding]:
    """Look at a home that cannot be opened, as `error` says. Blocks."""
    found = examine_home(home)
    for path in (home / "keys", *(home / "keys" / name for name in ("publisher.pem", "node.pem"))):
        if os.path.exists(path) and not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            found.append(finding("keys", False, f"{path} cannot be read", "let this user read it: it is yours alone"))
    found.append(finding("opening", False, error.message, error.hint or "mend what stands above"))
    return found


async def examine_reach(
    dialler: Dialler, peers: Sequence[PeerAddress], *, port: int | None, daemon: bool, lan: bool
) -> list[Finding]:
    """Ask up to three peers to dial us back at `port`, who stand outside before neighbours: a neighbour comes in by no
    router. `lan`: whether nodes of the local network are looked for."""
    if not daemon or port is None:
        return [
            finding(
                "reachable",
                False,
                "no node runs for this home, so nobody can have what it published",
                "p2phub node, and then p2phub doctor again",
            )
        ]
    if not peers:
        return [
            finding(
                "network",
                False,
                "this node knows no other, so nobody can say whether it can be reached from outside",
                "start it with --bootstrap /ip4/IP/tcp/PORT/p2p/PEER, another node's address; within one local network "
                + ("none is needed" if lan else f"none is needed either, if {LAN_SWITCH}"),
            )
        ]
    asked = _outside_first(peers)[:PEERS_ASKED]
    probes: list[Probed] = []

    async def ask(peer: PeerAddress) -> None:
        with trio.move_on_after(ASK_S):
            try:
                control = await dialler.open_control(peer)
                try:
                    answer = await control.ask(Probe(port))
                finally:
                    with trio.move_on_after(limits.GOODBYE_S, shield=True):
                        await control.aclose()
            except PeerError:
                return
            if isinstance(answer, Probed) and _ip(answer) is not None:
                probes.append(answer)

    async with trio.open_nursery() as nursery:
        for peer in asked:
            nursery.start_soon(ask, peer)
    found = [
        finding(
            "network",
            bool(probes),
            f"{len(probes)} of the {len(asked)} nodes that were asked answered",
            None if probes else "are the bootstrap nodes up? is outgoing TCP blocked?",
        )
    ]
    if probes:
        found.append(_reach(probes, port))
    return found


def _ip(probe: Probed) -> Address | None:
    """Return where a peer says that it sees us; None if that is no address: it says whatever it likes."""
    try:
        return Address(probe.observed_ip, 0)
    except Malformed:
        return None


def _outside_first(peers: Sequence[PeerAddress]) -> list[PeerAddress]:
    """Return one address of each peer: those of the public internet first, else in their order."""
    one_each: dict[PeerId, PeerAddress] = {}
    for peer in sorted(peers, key=lambda each: not each.address.is_public):
        one_each.setdefault(peer.peer, peer)
    return list(one_each.values())


def _reach(probes: Sequence[Probed], port: int) -> Finding:
    """Say whether those who tried could dial back: those outside, if there were any, for the others prove less."""
    outside = [probe for probe in probes if (seen := _ip(probe)) is not None and seen.is_public]
    told = outside or probes
    reached = sum(probe.reached for probe in told)
    seen_as = told[0].observed_ip
    detail = f"others see this machine as {seen_as}; {reached} of {len(told)} could dial back to port {port}"
    if not outside:
        detail += "; none of them is outside the local network, so whether it can be reached from there is not known"
    hint = f"forward TCP port {port} of your router to this machine, or open it in the firewall"
    if not outside:
        hint = f"open TCP port {port} in the firewall of this machine"
    return finding("reachable", reached > 0, detail, None if reached else hint)

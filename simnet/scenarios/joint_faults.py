"""Everything at once: a plan of faults of all kinds, drawn from the seed; then quiet, and every fetch must end well.

Each seed leaves about half of the kinds out, so that no kind hides another. Crashes and restarts, frozen processes,
links that are cut, clogged, slow or lossy, disks that are slow, full or torn, files that change, users who give up,
liars, stallers and those who have nothing. One provider is honest and comes back from whatever befalls it, so there is
always a way: a fetch may say that nobody is there, or that its disk is full, and run again in the quiet it must end.
"""

from __future__ import annotations

import math
from random import Random

from p2phub import limits
from simnet.scene import MB, Happening, Member, Scene

QUIET_S = 20.0  # When all that passes has passed.
KINDS = (
    "characters", "crash", "crash-requester", "freeze", "cut", "clog", "slow", "loss", "slow-disk", "full-disk",
    "touch", "nat", "give-up",
)  # fmt: skip
NOT_GUILTY = ("tarpit", "staller", "boaster", "empty", "refuser", "absent")


def scene(chance: Random, nodes: int | None) -> Scene:
    size = 6 * limits.MIB
    kinds = frozenset(kind for kind in KINDS if chance.random() < 0.5)
    rate = 0.5 * MB
    rock = Member("rock", holds=True, up=rate, latency_s=chance.choice((0.005, 0.05)))
    providers = [_provider(chance, f"p{number}", kinds) for number in range(max(2, (nodes or 8) - 3))]
    requesters = [_requester(chance, name, kinds) for name in ("bob", "eve")]
    happenings = [
        happening
        for member in (rock, *providers, *requesters)
        for happening in _what_befalls(chance, member, kinds, [each.name for each in requesters])
    ]
    best_s = len(requesters) * size / rate  # Rock alone, for both.
    return Scene(
        members=(rock, *providers, *requesters),
        happenings=tuple(happenings),
        files={"a.bin": size // 3, "sub/b.bin": size // 3, "c.bin": size - 2 * (size // 3)},
        chunk_bytes=chance.choice((64, 256)) * limits.KIB,
        loss=chance.uniform(0.0, 0.05) if "loss" in kinds else 0.0,
        best_s=best_s,
        within_s=QUIET_S + best_s / 0.8 + 60,
        done_by_s=QUIET_S + best_s / 0.8 + 60,
        waste_max=3.0,
    )


def _provider(chance: Random, name: str, kinds: frozenset[str]) -> Member:
    character = "honest"
    if "characters" in kinds and chance.random() < 0.6:
        character = chance.choice(("liar", "flooder", *NOT_GUILTY))
    return Member(
        name,
        character,
        holds=True,
        up=chance.choice((0.25, 0.5, 1.0)) * MB,
        latency_s=chance.choice((0.002, 0.02, 0.1)),
        natted="nat" in kinds and chance.random() < 0.3,
    )


def _requester(chance: Random, name: str, kinds: frozenset[str]) -> Member:
    give_up = "give-up" in kinds and chance.random() < 0.5
    return Member(
        name,
        fetches=True,
        starts_s=chance.uniform(0, 2),
        up=0.5 * MB,
        patience_s=90.0,
        real_disk=chance.random() < 0.5,
        natted="nat" in kinds and chance.random() < 0.3,
        cancels_s=tuple(chance.uniform(0, 4) for _ in range(2)) if give_up else (),
        may_end_with=("DiskFull", "NoProvider"),
        then_again_s=QUIET_S + 1,
    )


def _what_befalls(chance: Random, member: Member, kinds: frozenset[str], requesters: list[str]) -> list[Happening]:
    """Return what happens to one member. All of it passes before the quiet, but some of those who hold never return."""
    name, found = member.name, list[Happening]()
    is_rock, is_requester = name == "rock", member.fetches

    def befalls(kind: str, part: float) -> bool:
        return kind in kinds and chance.random() < part

    def passes(longest_s: float) -> tuple[float, float]:
        first, last = sorted(chance.uniform(0.3, QUIET_S - 0.5) for _ in range(2))
        return first, min(last, first + longest_s)

    if member.character == "absent":
        return found
    crashes = befalls("crash-requester" if is_requester else "crash", 0.5)
    if crashes:
        down_s, up_s = passes(6.0)
        found.append(Happening(down_s, "kill", name))
        if is_rock or is_requester or chance.random() < 0.7:
            found.append(Happening(up_s, "restart", name))
    elif befalls("freeze", 0.4):
        stops_s, goes_on_s = passes(8.0)
        found.append(Happening(stops_s, "freeze", name))
        if is_rock or is_requester or chance.random() < 0.7:
            found.append(Happening(goes_on_s, "thaw", name))
    for other in requesters:
        if other != name and (befalls("cut", 0.3) or befalls("clog", 0.3)):
            cut_s, healed_s = passes(5.0 if is_rock else QUIET_S)
            for source, target in chance.choice((((name, other),), ((other, name),), ((name, other), (other, name)))):
                found += [Happening(cut_s, "cut", source, target), Happening(healed_s, "heal", source, target)]
    if befalls("slow", 0.4):
        slow_s, again_s = passes(10.0)
        found.append(Happening(slow_s, "slow", name, amount=chance.uniform(0.01, 0.2) * MB))
        if is_rock or is_requester or chance.random() < 0.5:
            found.append(Happening(again_s, "slow", name, amount=member.up))
    if not is_requester and not is_rock and member.character == "honest" and befalls("touch", 0.3):
        found.append(Happening(passes(0)[0], "touch", name))
    if is_requester and befalls("slow-disk", 0.5):
        slow_s, again_s = passes(15.0)
        found.append(Happening(slow_s, "disk-rate", name, amount=chance.uniform(0.05, 1.0) * MB))
        found.append(Happening(again_s, "disk-rate", name, amount=math.inf))
    if is_requester and befalls("full-disk", 0.5):
        full_s, again_s = passes(15.0)
        found.append(Happening(full_s, "disk-room", name, amount=chance.randrange(0, 4 * limits.MIB)))
        found.append(Happening(again_s, "disk-room", name, amount=math.inf))
    return found

"""Run one scenario from one seed, judge it, and say what came of it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import trio

from p2phub.discovery import Nearness, Surroundings
from p2phub.errors import HubError
from p2phub.observe import Done
from simnet import det
from simnet.characters import GUILTY
from simnet.descriptors import system_calls
from simnet.disk import SimStore, look, wrong_paths
from simnet.naming import Naming
from simnet.network import Ether, Network
from simnet.node import Node, address_of, key_of
from simnet.scene import Happening, Member, Scene, scenarios
from simnet.trace import Trace
from simnet.truth import truth_of
from simnet.witness import Witness

STEPS_AT_ONE_INSTANT_MAX = 500  # Of tasks, for each node of 8 or more.
SETTLE_S = 3.0  # After the last fetch: how long its connections may take to end.


@dataclass
class Ended:
    """How one fetch ended. `outcome`: "done", the name of an error, or "never"."""

    node: str
    outcome: str
    message: str
    began_s: float
    seconds: float
    bytes_received: int = 0
    sources: dict[str, int] = field(default_factory=dict)


@dataclass
class Result:
    """What came of a run; `failures` is empty if all was as it must be."""

    scenario: str
    seed: int
    nodes: int | None
    bytes_total: int
    best_s: float
    failures: list[str]
    ended: list[Ended]
    served: dict[str, int] = field(default_factory=dict)
    trace: str = ""
    arrivals: int = 0
    trace_lines: list[str] | None = None
    bugs: tuple[str, ...] = ()  # Planted for it.
    wall_s: float = 0.0
    virtual_s: float = 0.0
    dials: int = 0
    riders_cost: float | None = (
        None  # To the last of the others, in times of what it takes without them; None: no riders.
    )
    riders_later_s: float | None = None  # By how much half of them were done later than half of the others.

    @property
    def replay(self) -> str:
        return command((self.scenario, self.seed, self.nodes), self.bugs)

    @property
    def last_s(self) -> float:
        """When the last fetch that succeeded was done, since the first began."""
        done = [each.began_s + each.seconds for each in self.ended if each.outcome == "done"]
        return max(done, default=0.0) - min((each.began_s for each in self.ended), default=0.0)

    @property
    def of_best(self) -> float:
        """Which part of the best possible speed the last one reached; 0 if the scenario knows no bound."""
        return self.best_s / self.last_s if self.last_s and self.best_s else 0.0


def command(job: tuple[str, int, int | None], bugs: tuple[str, ...] = ()) -> str:
    """Return what to type to see the run of a scenario, from a seed, with so many nodes."""
    scenario, seed, nodes = job
    parts = ["python -m simnet", scenario, f"--seed {seed}"]
    parts += [] if nodes is None else [f"--nodes {nodes}"]
    return " ".join([*parts, *(f"--bug {bug}" for bug in bugs)])


def run_scenario(
    name: str, seed: int, nodes: int | None = None, *, keep_trace: bool = False, until_failure: bool = False
) -> Result:
    """Run scenario `name`; `until_failure`: no further than the first failure.

    Raises what a bug of the code under test raises, with the way to replay it as a note.
    """
    scene = scenarios()[name](det.Chance(seed).of(name), nodes)
    result = _run(scene, name, seed, nodes, keep_trace=keep_trace, until_failure=until_failure)
    if scene.riders_cost_max is not None and not result.failures:
        alone = _run(scene.without("rider"), name, seed, nodes, keep_trace=False, until_failure=until_failure)
        result.failures += alone.failures or judge_riders(scene, result, alone)
        result.wall_s += alone.wall_s
    return result


def judge_riders(scene: Scene, result: Result, alone: Result) -> list[str]:
    """Say in `result` what free riders cost; return what speaks against it that they pay, and not the others.

    Nobody else takes more than `riders_cost_max` times as long as the last one does without them, and half of them are
    done later than half of the others. `alone`: the run without them.
    """
    assert scene.riders_cost_max is not None
    rides = {member.name for member in scene.members if member.character == "rider"}
    began = min(each.began_s for each in result.ended)
    riders = [each.began_s + each.seconds for each in result.ended if each.node in rides]
    honest = {each.node: each.began_s + each.seconds for each in result.ended if each.node not in rides}
    result.riders_cost = (max(honest.values()) - began) / alone.last_s
    result.riders_later_s = median(riders) - median(honest.values())
    failures = [
        f"{name} was done after {at:.2f} s: without free riders the last one is after {alone.last_s:.2f} s"
        for name, at in honest.items()
        if at - began > scene.riders_cost_max * alone.last_s
    ]
    if result.riders_later_s <= 0:
        failures.append(f"free riders were done after {median(riders):.2f} s, the others {median(honest.values()):.2f}")
    return failures


def _run(scene: Scene, name: str, seed: int, nodes: int | None, *, keep_trace: bool, until_failure: bool) -> Result:
    result = Result(name, seed, nodes, 0, scene.best_s, [], [])
    return _run_scene(scene, result, keep_trace=keep_trace, until_failure=until_failure)


def run_scene(scene: Scene, seed: int = 0) -> Result:
    """Run a scene that is no scenario: one that a test made."""
    return _run_scene(scene, Result("scene", seed, None, 0, scene.best_s, [], []), keep_trace=False)


def _run_scene(scene: Scene, result: Result, *, keep_trace: bool, until_failure: bool = False) -> Result:
    seed = result.seed
    trace = Trace(keep=keep_trace)
    began = time.perf_counter()
    try:
        with system_calls(), _ties_settled(scene), TemporaryDirectory(prefix="p2phub-simnet.") as at:
            run = _Run(scene, result, trace, det.Chance(seed), Path(at), until_failure=until_failure)
            det.run(seed, run.main)
    except BaseException as exc:
        exc.add_note(f"replay: {result.replay}")
        raise
    result.trace, result.arrivals, result.trace_lines = trace.digest(), trace.count, trace.lines
    result.wall_s = time.perf_counter() - began
    return result


def _ties_settled(scene: Scene) -> AbstractContextManager[None]:
    if not scene.dht:
        return nullcontext()
    from simnet.libp2p_port import numbered  # It loads libp2p.

    return numbered()


def surroundings_of(labels: Mapping[str, str]) -> Surroundings:
    """Return what `labels`, as a configuration has them, say of networks."""
    return Surroundings({ip_network(network): Nearness[label.upper()] for network, label in labels.items()})


class _Stuck(trio.abc.Instrument):
    """Notices when tasks run on and on while virtual time stands: a busy loop, which real time would only hide."""

    def __init__(self, nodes: int, stop: Callable[[], None]) -> None:
        self._steps_max = STEPS_AT_ONE_INSTANT_MAX * max(nodes, 8)
        self._stop = stop
        self._at = -1.0
        self._steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps += 1
        if self._steps < self._steps_max:
            return
        now = trio.current_time()  # Asked now and then: it would cost more than what it watches.
        if now == self._at:
            self._stop()
        self._at, self._steps = now, 0


class _Run:
    def __init__(
        self, scene: Scene, result: Result, trace: Trace, chance: det.Chance, at: Path, *, until_failure: bool
    ) -> None:
        self.at = at
        self.until_failure = until_failure
        self.scene, self.result, self.trace, self.chance = scene, result, trace, chance
        self.truth = truth_of(scene.files, scene.chunk_bytes, chance)
        names = {str(key_of(number).peer_id): member.name for number, member in enumerate(scene.members, 1)}
        kinds = {member.name: member.character for member in scene.members}
        guilty = frozenset(peer for peer, name in names.items() if kinds[name] in GUILTY)
        self.witness = Witness(self.truth, names, guilty)
        self.nodes: dict[str, Node] = {}
        self.nursery: trio.Nursery

    async def main(self) -> None:
        ether = Ether(self.chance.of("ether"))
        self.network = Network(ether, self.trace, self.chance.of("network"))
        self.network.loss = self.scene.loss
        numbers = {member.name: number for number, member in enumerate(self.scene.members, 1)}
        touched = {happening.who for happening in self.scene.happenings if happening.act == "touch"}
        for member in self.scene.members:
            chance = self.chance.of("node", member.name)
            number = numbers[member.name]
            address = address_of(number, member.network, beside=numbers.get(member.beside, 0))
            near = surroundings_of(self.scene.labels)
            node = Node(number, member, self.network, self.truth, self.witness, chance, self.at, near, address)
            if member.holds and member.character != "empty":
                node.publish(shared=member.name not in touched)
            self.nodes[member.name] = node
        for node in self.nodes.values():
            if node.member.found_at:
                node.found_at = self.nodes[node.member.found_at].address
        if self.scene.dht:
            first, *others = self.nodes.values()
            first.bootstrap = ()
            for node in others:
                node.bootstrap = (first.where,)
        async with trio.open_nursery() as self.nursery:
            trio.lowlevel.add_instrument(_Stuck(len(self.nodes), self._stop_because_stuck))
            self.nursery.start_soon(self._look)
            if self.until_failure:
                self.nursery.start_soon(self._stop_at_failure)
            async with trio.open_nursery() as processes:
                for node in self.nodes.values():
                    if node.member.character != "absent":
                        processes.start_soon(node.live)
                await self._everything(processes)
                await trio.sleep(SETTLE_S)
                self._look_at_what_is_left()
                self._stop()
        for node in self.nodes.values():
            node.store.disk.forget_all()
            node.store.close()
        self._conclude()

    async def _stop_at_failure(self) -> None:
        await self.witness.failed.wait()
        self._stop()

    def _stop_because_stuck(self) -> None:
        self.witness.fail("a busy loop: thousands of steps of tasks, and no time passes")
        self._stop()

    def _stop(self) -> None:
        """End the run now."""
        for node in self.nodes.values():
            node.host.thaw()  # What is frozen cannot end.
        self.nursery.cancel_scope.cancel()

    async def _everything(self, processes: trio.Nursery) -> None:
        """Return when all that happens has happened, and every fetch has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._happen, processes)
            nursery.start_soon(Naming(self.scene, self.nodes, self.truth, self.witness).run)
            for member in self.scene.members:
                if member.fetches:
                    nursery.start_soon(self._fetch, self.nodes[member.name], member)

    # --- fetches -------------------------------------------------------------------------------------------------

    async def _fetch(self, node: Node, member: Member) -> None:
        await trio.sleep(member.starts_s)
        for give_up_s in member.cancels_s:
            if await self._fetch_once(node, member, member.may_end_with, give_up_s) == "done":
                return
            await trio.sleep(SETTLE_S)
            self._look_at_connections(node)
        ended = await self._fetch_once(node, member, member.may_end_with)
        if ended in member.may_end_with and member.then_again_s:
            await trio.sleep_until(member.then_again_s)
            await self._fetch_once(node, member, ())

    async def _fetch_once(
        self, node: Node, member: Member, may_end_with: tuple[str, ...], give_up_s: float = math.inf
    ) -> str:
        """Fetch and judge; return how it ended: "given up" if its user did."""
        began = trio.current_time()
        others = [
            other for other in self.nodes.values() if other is not node and (other.member.holds or other.member.fetches)
        ]
        known = [self.nodes[name] for name in member.knows or ()]
        neighbours = None if member.neighbours is None else [self.nodes[name] for name in member.neighbours]
        outcome: Done | HubError | None = None
        with trio.move_on_after(min(give_up_s, self.scene.within_s)):
            outcome = await node.fetch(known, others, neighbours)
        seconds = trio.current_time() - began
        if outcome is None and give_up_s < self.scene.within_s:
            return "given up"
        if outcome is None:
            self.witness.fail(
                f"{node.name}: the fetch has not ended within {self.scene.within_s:.0f} s, and says nothing"
            )
            self.result.ended.append(Ended(node.name, "never", "", began, seconds))
        elif isinstance(outcome, Done):
            self._judge_done(node, outcome, began, seconds)
        else:
            kind = type(outcome).__name__
            self.result.ended.append(Ended(node.name, kind, outcome.message, began, seconds))
            if kind not in may_end_with:
                self.witness.fail(f"{node.name}: the fetch ended with {kind}: {outcome.message}")
        return self.result.ended[-1].outcome

    def _judge_done(self, node: Node, done: Done, began: float, seconds: float) -> None:
        name_of = self.witness.name
        sources = {name_of(source.peer_id): source.bytes for source in done.sources}
        self.result.ended.append(Ended(node.name, "done", "", began, seconds, done.bytes_received, sources))
        missing = self.truth.files.keys() - node.store.paths(node.folder)
        if wrong := sorted(missing.union(wrong_paths(node.store, node.folder, self.truth))):
            self.witness.fail(f"{node.name} says done, but {', '.join(wrong)} is not what was signed")
        if sum(sources.values()) != done.bytes_received:
            self.witness.fail(
                f"{node.name}: {done.bytes_received} bytes came, {sum(sources.values())} of them from somebody"
            )
        if done.bytes_received + done.bytes_reused < self.truth.bytes_total:
            self.witness.fail(f"{node.name} says done after {done.bytes_received + done.bytes_reused} bytes")
        if began + seconds > self.scene.done_by_s:
            self.witness.fail(f"{node.name} was done only now, and nothing has stood in its way for long")
        if not 0 <= done.seconds <= seconds + 0.01:
            self.witness.fail(f"{node.name} says it took {done.seconds} s, it took {seconds:.3f}")
        came: dict[str, int] = defaultdict(int)
        for pipe in node.host.incoming:
            came[pipe.source.name] += pipe.delivered
        for name, count in sources.items():
            if count > came[name]:
                self.witness.fail(f"{node.name} says {count} bytes came from {name}, of whom it got {came[name]}")

    # --- what happens --------------------------------------------------------------------------------------------

    async def _happen(self, processes: trio.Nursery) -> None:
        for happening in sorted(self.scene.happenings, key=lambda each: each.at_s):
            await trio.sleep_until(happening.at_s)
            self._act(happening, processes)

    def _act(self, happening: Happening, processes: trio.Nursery) -> None:
        node = self.nodes[happening.who]
        other = self.nodes.get(happening.other)
        self.network.arrived(node.host, node.host, happening.act, 0)
        match happening.act:
            case "kill":
                node.kill()
            case "restart":
                processes.start_soon(node.live)
            case "freeze":
                node.host.freeze()
            case "thaw":
                node.host.thaw()
            case "cut":
                assert other is not None
                self.network.cut(node.host, other.host)
            case "heal":
                assert other is not None
                self.network.heal(node.host, other.host)
            case "slow":
                node.host.up.rate = happening.amount
            case "disk-room":
                node.store.disk.room = None if math.isinf(happening.amount) else int(happening.amount)
            case "disk-rate":
                node.store.disk.rate = happening.amount
            case "sync-rate":
                node.store.disk.sync_rate = happening.amount
            case "touch":
                assert isinstance(node.store, SimStore)
                node.store.change(node.folder, sorted(self.truth.files)[0])
            case _:
                raise ValueError(f"nothing is called {happening.act}")

    # --- judging -------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await trio.sleep(1.0)
            self.witness.bounds((node.host, node.tasks) for node in self.nodes.values())
            self.witness.asks_why()

    def _look_at_what_is_left(self) -> None:
        for node in self.nodes.values():
            self._look_at_connections(node)
            if node.member.character == "honest" and not any(
                happening.act == "touch" and happening.who == node.name for happening in self.scene.happenings
            ):
                look(node.store, node.folder, node.name, self.truth, self.witness)

    def _look_at_connections(self, node: Node) -> None:
        left = [stream.other.name for stream in node.host.streams if stream.dialled and not stream.apart]
        if left and not node.host.frozen:
            self.witness.fail(f"{node.name} still has connections to {', '.join(left)} after its fetch")

    def _conclude(self) -> None:
        result, witness = self.result, self.witness
        if not (self.until_failure and witness.failed.is_set()):
            witness.at_the_end(self.network)
        needed = sum(
            self.truth.bytes_total
            for each in result.ended
            if each.outcome == "done" and not self.nodes[each.node].member.holds
        )
        came = sum(pipe.delivered for pipe in witness.bulk if self.nodes[pipe.target.name].member.fetches)
        if needed and came > needed * (1 + self.scene.waste_max):
            witness.fail(f"{came} bytes came where {needed} were needed, more than {self.scene.waste_max:.0%} in vain")
        if not witness.failed.is_set() and result.of_best < self.scene.of_best_min:
            witness.fail(
                f"{result.of_best:.2f} of the best possible speed, where {self.scene.of_best_min:.2f} is promised"
            )
        first = self.nodes[self.scene.members[0].name]
        copies = first.bytes_served / self.truth.bytes_total
        if copies > self.scene.copies_max:
            witness.fail(f"{first.name} sent {copies:.2f} copies, more than {self.scene.copies_max}")
        for name, most in self.scene.parts_max.items():
            part = self.nodes[name].bytes_served / self.truth.bytes_total
            if part > most:
                witness.fail(f"{name} sent {part:.2f} of the content, more than {most}, though nearer ones had it")
        result.failures = list(witness.failures)
        if witness.failure_count > len(witness.failures):
            result.failures.append(f"… and {witness.failure_count - len(witness.failures)} more")
        result.virtual_s = trio.current_time()
        result.bytes_total = self.truth.bytes_total
        result.dials = witness.dial_count
        result.served = {node.name: node.bytes_served for node in self.nodes.values()}

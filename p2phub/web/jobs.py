"""Jobs that were begun by the page: they live in the daemon until they are done, whoever looks, and are told of after.

What a job of the node does is told by the node (`Hub.pulse`); here is what the page has to remember beside it: what was
asked for, how it ended. Jobs that commands began are the node's alone: told of, and not stopped from here.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from p2phub import api, limits
from p2phub.errors import HubError
from p2phub.http.refusal import Refusal
from p2phub.web import bodies

Json = dict[str, Any]
ENDED_KEPT_MAX = 50
SOURCES_TOLD_MAX = 32

Work = Callable[[api.Watch], Awaitable[api.Published | None]]
"""Does it, and returns what was published, if something was. Raises HubError."""


class PageJob:
    """One of them. `told`: what its events said last."""

    def __init__(
        self, number: int, action: str, ref: str, into: str | None, now: float, *, providers: Sequence[str]
    ) -> None:
        self.id = f"p{number}"
        self.action, self.ref, self.into, self.providers = action, ref, into, list(providers)
        self.ticket: str | None = None
        self.began = now
        self.ended: float | None = None
        self.state = "running"
        self.manifest: str | None = None
        self.done_bytes: int | None = None
        self.total_bytes: int | None = None
        self.rate = 0.0
        self.why: str | None = None
        self.error: str | None = None
        self.hint: str | None = None
        self.scope = trio.CancelScope()

    def take(self, event: api.Event) -> None:
        """Note what an event says."""
        match event:
            case api.Started():
                self.manifest, self.total_bytes, self.done_bytes = event.manifest, event.bytes_total, event.bytes_held
            case api.Progress():
                self.done_bytes, self.rate = event.bytes_verified, event.bytes_per_s
                self.state, self.why = "running", None
            case api.PublishProgress():
                self.done_bytes, self.total_bytes = event.bytes_hashed, event.bytes_total
            case api.Waiting():
                self.state, self.why = "waiting", f"{event.reason}; {event.next}"


class Jobs:
    """The jobs of one page. `clock` tells unix seconds."""

    def __init__(self, hub: api.Hub, nursery: trio.Nursery, *, clock: Callable[[], float]) -> None:
        self._hub, self._nursery, self._clock = hub, nursery, clock
        self._jobs: OrderedDict[str, PageJob] = OrderedDict()
        self._numbers = itertools.count(1)

    # --- what begins one ----------------------------------------------------------------------------------------------

    def fetch(self, asked: bodies.Fetch) -> str:
        """Begin to fetch, into a folder or into the own store; return the job's id. Raises Refusal."""
        if asked.into is None:
            if asked.tensors:
                raise Refusal(400, "a part of a model is fetched into a folder: `into` says which")
            return self.pin(asked.ref, action="fetch", providers=_addresses(asked.providers))
        into = asked.into
        if not into.startswith("/"):
            raise Refusal(400, "`into` is a folder of this machine, by its whole path")
        providers = _addresses(asked.providers)

        async def work(watch: api.Watch) -> None:
            await self._hub.fetch(asked.ref, into=into, providers=providers, tensors=asked.tensors, watch=watch)

        return self._begin("fetch", asked.ref, into, work, providers=providers)

    def pin(self, ref: str, *, action: str = "pin", providers: Sequence[str] = ()) -> str:
        """Begin to fetch what is missing into the own store, and pin it; return the job's id. Raises Refusal."""

        async def work(watch: api.Watch) -> None:
            await self._hub.pin(ref, providers=providers, watch=watch)

        return self._begin(action, ref, None, work, providers=providers)

    def publish(self, asked: bodies.Publish) -> str:
        """Begin to publish a folder; return the job's id. Raises Refusal."""
        if not asked.path.startswith("/"):
            raise Refusal(400, "`path` is a folder of this machine, by its whole path")

        async def work(watch: api.Watch) -> api.Published:
            return await self._hub.publish(asked.path, **asked.words(), watch=watch)

        return self._begin("publish", asked.name, asked.path, work)

    def stop(self, id: str) -> None:  # noqa: A002  # What it is called in the interface.
        """Stop one. What came of a fetch stays, and fetching the same again goes on from there. Raises Refusal(404)."""
        job = self._jobs.get(id)
        if job is None:
            raise Refusal(404, "no job of this page has that number; others are stopped where they were begun")
        job.scope.cancel()

    def _begin(self, action: str, ref: str, into: str | None, work: Work, *, providers: Sequence[str] = ()) -> str:
        if sum(job.ended is None for job in self._jobs.values()) >= limits.PAGE_JOBS_MAX:
            raise Refusal(503, f"{limits.PAGE_JOBS_MAX} jobs of this page are under way already")
        job = PageJob(next(self._numbers), action, ref, into, self._clock(), providers=providers)
        self._jobs[job.id] = job
        self._nursery.start_soon(self._run, job, work)
        return job.id

    async def _run(self, job: PageJob, work: Work) -> None:
        try:
            with job.scope:
                published = await work(job.take)
                if published is not None:
                    job.ref, job.ticket = published.reference, published.ticket
                job.state = "done"
        except HubError as error:
            job.state, job.error, job.hint = "failed", error.message, error.hint
        finally:
            if job.state in ("running", "waiting"):
                job.state = "stopped"
            job.ended, job.rate, job.why = self._clock(), 0.0, None
            if job.state == "done" and job.total_bytes is not None:
                job.done_bytes = job.total_bytes
            self._forget_old()

    def _forget_old(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.ended is not None]
        for number in ended[:-ENDED_KEPT_MAX]:
            del self._jobs[number]

    # --- how they are told --------------------------------------------------------------------------------------------

    def told(self, of_node: list[Json]) -> list[Json]:
        """Return all jobs as the page shows them, the newest first. `of_node`: the node's own, as a pulse has them."""
        own = list(self._jobs.values())
        rest = list(of_node)
        found: list[Json] = []
        for job in reversed(own):
            twin = None if job.ended is not None else next((each for each in rest if _is_same(job, each)), None)
            if twin is not None:
                rest.remove(twin)
            found.append(_told(job, twin))
        return [*(_told_of_node(each) for each in reversed(rest)), *found]


def _addresses(providers: Sequence[str]) -> Sequence[str]:
    """Return them. Raises Refusal for one that is none: a mistyped one would be missed by its user alone."""
    for each in providers:
        try:
            api.parse_peer_address(each)
        except HubError as exc:
            raise Refusal(400, f"a provider is named by its address, /ip4/…/tcp/…/p2p/…: {exc.message}") from exc
    return providers


def _is_same(job: PageJob, of_node: Json) -> bool:
    return bool(job.ref == of_node["reference"] and job.into in (None, of_node["into"]))


def _told(job: PageJob, twin: Json | None) -> Json:
    explanation = twin["explanation"] if twin is not None else None
    waiting = explanation["waiting"] if explanation is not None else None
    state = "waiting" if waiting is not None and job.ended is None else job.state
    return {
        "id": job.id,
        "ref": job.ref,
        "name": short_name(job.ref),
        "manifest": job.manifest,
        "action": job.action,
        "into": job.into,
        "providers": job.providers,
        "ticket": job.ticket,
        "state": state,
        "mine": True,
        **_progress(job.done_bytes, job.total_bytes, job.rate if state == "running" else 0.0),
        **_explained(explanation, job.why),
        "error": job.error,
        "hint": job.hint,
        "began": round(job.began, 3),
        "ended": None if job.ended is None else round(job.ended, 3),
    }


def _told_of_node(job: Json) -> Json:
    explanation = job["explanation"]
    is_waiting = explanation is not None and explanation["waiting"] is not None
    return {
        "id": str(job["job"]),
        "ref": job["reference"],
        "name": short_name(job["reference"]),
        "manifest": job["manifest"],
        "action": "fetch",
        "into": job["into"],
        "providers": [],
        "ticket": None,
        "state": "waiting" if is_waiting else "running",
        "mine": False,
        **_progress(job.get("bytes_verified"), job.get("bytes_total"), rate_of(job)),
        **_explained(explanation, None),
        "error": None,
        "hint": None,
        "began": None,
        "ended": None,
    }


def rate_of(job: Json) -> float:
    """Return how fast a job of the node receives, bytes a second."""
    if job["explanation"] is not None:
        return float(sum(source["bytes_per_s"] for source in job["explanation"]["sources"]))
    return float(job.get("bytes_per_s", 0.0))


def _progress(done: int | None, total: int | None, rate: float) -> Json:
    left = None if done is None or total is None else total - done
    eta = None if left is None or rate < 1 else round(left / rate, 1)
    return {"done_bytes": done, "total_bytes": total, "rate": round(rate, 1), "eta_s": eta}


def _explained(explanation: Json | None, why: str | None) -> Json:
    if explanation is None:
        return {"bound": None, "why": why, "sources": [], "sources_total": 0}
    waiting = explanation["waiting"]
    sources = sorted(explanation["sources"], key=lambda each: (-each["bytes_per_s"], -each["bytes_received"]))
    return {
        "bound": explanation["bound"],
        "why": f"{waiting['reason']}; {waiting['next']}" if waiting is not None else explanation["because"],
        "sources": [
            {
                "peer_id": each["peer_id"],
                "address": each["addresses"][0] if each["addresses"] else None,
                "kind": each["via"],
                "near": each["nearness"],
                "rate": each["bytes_per_s"],
                "bytes": each["bytes_received"],
                "links": each["links"],
                "note": each["state"],
            }
            for each in sources[:SOURCES_TOLD_MAX]
        ],
        "sources_total": len(sources),
    }


def short_name(ref: str) -> str:
    """Return what a reference is called where there is little room."""
    if "/" in ref:
        return ref.rpartition("/")[2]
    return ref if len(ref) <= 24 else f"{ref[:16]}…"

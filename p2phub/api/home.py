"""The hub's verbs on the home itself and the node that works for it: its state and caps, names, keys, health."""

from __future__ import annotations

from p2phub.api.verbs import HubPart, JsonObject, items, unwatched


class HomeVerbs(HubPart):
    """What is asked of the home and its node, whatever content it has."""

    async def status(self) -> JsonObject:
        """Return what the node is doing.

        {"daemon": whether it is one, "home", "peer_id", "publisher_id", "addresses": [multiaddr], "lan" (whether nodes
        of the local network are looked for), "seconds" (since it began), "tasks", "processes": [{"pid", "role" (node or
        bulk), "anonymous_bytes", "descriptors"}], "anonymous_bytes" and "descriptors" of them together, "up" and "down"
        (its caps in bytes/s, or None), "jobs": [the latest event of each fetch, with "job", "up", "down" and
        "background"], "served": {manifest: payload bytes sent}, "names" {manifest: what to call it}, of those served as
        far as anything is known}. Raises DiskError.
        """
        return await self._verbs.call("status", {}, unwatched)

    async def counters(self) -> JsonObject:
        """Return what the node counted since it began, and how it stands now, by words of which there are few: what
        `/metrics` tells (docs/operations/README.md), for whoever watches over a node.

        Counted: "sent_bytes", "received_bytes" {via}, "chunks_refused" {reason}, "links_dropped" {why}, "jobs_ended"
        {outcome}, "questions" {kind}, "hashed_bytes", "collected_bytes", "seconds" (since it began). As it stands:
        "jobs" {state}, "models_open", "connections" (that others opened), "links" (that fetches did), "peers_proven",
        "records", "records_kept", "announce_late_s", "up" and "down" (caps, or None), "processes" as in `status`, and
        "store": {"held" {origin: {"manifests", "bytes" (of those held whole)}}, "own_bytes", "unfinished_bytes",
        "quota" (or None), "free_bytes", "index_s" (how long the index took to tell that)}, or None where the disk does
        not let the node see. Raises NodeGone if the daemon goes away meanwhile.
        """
        return await self._verbs.call("counters", {}, unwatched)

    async def readiness(self) -> list[str]:
        """Return why the node is not ready to be asked, in words that tell nothing of its home: "store" (the home
        cannot be written, or does not answer), "address" (nobody can dial it). Nothing if it is.

        Raises NodeGone if the daemon goes away meanwhile.
        """
        result = await self._verbs.call("readiness", {}, unwatched)
        return list(result["reasons"])

    async def explain(self, job: int) -> JsonObject:
        """Say why a running fetch of this home's daemon is as fast as it is; `job` is its number in `status`.

        Returns `bytes_verified`, `bytes_missing` (null before the manifest is known), `bytes_duplicate`, `bound`
        (metadata, providers, holders, cap, network, disk or hash), `because` in words, `waiting` (null, or where nobody
        who is there has what is missing: `reason` and `next` in words, `waited_s`, `again_s` until it looks again, and
        `left_s` until it gives up, null if never), and `sources`: for each provider its `state` in words, links, rates
        (bytes/s), what may be asked of it ahead (`window_bytes`), the shortest round trip seen (`trip_s`, or null) and
        since when it is silent (s). Raises NotFound if no such job is under way.
        """
        return await self._verbs.call("explain", {"job": job}, unwatched)

    async def limit(
        self, *, up: str | int | None = None, down: str | int | None = None, job: int | None = None
    ) -> JsonObject:
        """Change the caps of the running node, or of one of its jobs, at once; what is None stays.

        `up`, `down`: bytes/s (20_000_000, "20MB", "20MiB"), or "none" to lift the cap; `job`: a number from `status`.
        What is set holds until the schedule of the home's config changes them next, or the node ends. Returns {"job",
        "up", "down", "by_schedule"}: what holds now. Raises UsageError for what is no cap and where no daemon runs,
        NotFound if there is no such job.
        """
        return await self._verbs.call("limit", {"up": up, "down": down, "job": job}, unwatched)

    async def peers(self) -> list[JsonObject]:
        """Return the peers this node knows: {"peer_id", "addresses": [multiaddr], "proven"} each. Raises DiskError."""
        return items(await self._verbs.call("peers", {}, unwatched))

    async def names(self) -> dict[str, str]:
        """Return the user's own names and what each stands for: a publisher's peer id or a reference.

        Raises DiskError.
        """
        result = await self._verbs.call("names", {}, unwatched)
        return dict(result["names"])

    async def name_add(self, alias: str, target: str) -> None:
        """Let `alias` stand for a publisher (peer id), or a full `org/name` for a reference.

        Raises UsageError if `alias` cannot be a name, or `target` has no publisher's key or digest in it; DiskError.
        """
        await self._verbs.call("name_add", {"alias": alias, "target": target}, unwatched)

    async def name_remove(self, alias: str) -> None:
        """Forget a name of the user's own. Raises NotFound if there is none, DiskError."""
        await self._verbs.call("name_remove", {"alias": alias}, unwatched)

    async def doctor(self) -> list[JsonObject]:
        """Examine home, keys, disk and network, and mend the index of the store if it needs it.

        Returns {"check", "ok", "detail", "hint"} of each. Raises DiskError.
        """
        return items(await self._verbs.call("doctor", {}, unwatched))

    async def init(self) -> JsonObject:
        """Make the keys if there are none.

        Returns {"home", "publisher_id", "peer_id"}. Raises NotTrusted for key files that do not hold, DiskError.
        """
        return await self._verbs.call("init", {}, unwatched)

    async def key_export(self) -> bytes:
        """Return the publisher key (PEM, PKCS8, not encrypted). Whoever has it can publish in your name.

        Raises NotTrusted if the key file does not hold, DiskError.
        """
        result = await self._verbs.call("key_export", {}, unwatched)
        return str(result["pem"]).encode()

    async def key_import(self, pem: bytes) -> JsonObject:
        """Make `pem` this home's publisher key. Returns {"publisher_id"}.

        Raises UsageError if there is another, Malformed if `pem` is no Ed25519 key in PEM, NotTrusted, DiskError.
        """
        return await self._verbs.call("key_import", {"pem": pem.decode("ascii", "replace")}, unwatched)

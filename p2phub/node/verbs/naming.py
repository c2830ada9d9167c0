"""The user's own names, and the key they publish with."""

from __future__ import annotations

from p2phub.errors import NotFound, UsageError
from p2phub.node.keystore import export_publisher_key, import_publisher_key
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch


async def names(node: Running, watch: Watch) -> JsonObject:
    return {"names": await node.parts.workers.run(lambda: node.parts.ledger.names())}


async def name_add(node: Running, watch: Watch, *, alias: str, target: str) -> JsonObject:
    """A name that stands for something else is refused: who typed it trusts what it meant."""
    ledger = node.parts.ledger

    def add() -> None:
        node.parts.resolver.names.check_name(alias, target)
        meant = ledger.names().get(alias)
        if meant is not None and meant != target:
            raise UsageError(f"{alias} stands for {meant} already", hint=f"first forget that: p2phub name rm {alias}")
        ledger.name(alias, target)

    await node.parts.workers.run(add)
    return {}


async def name_remove(node: Running, watch: Watch, *, alias: str) -> JsonObject:
    ledger = node.parts.ledger

    def remove() -> None:
        if alias not in ledger.names():
            raise NotFound(f"there is no name {alias!r}", hint="`p2phub name list` shows them")
        ledger.name(alias, None)

    await node.parts.workers.run(remove)
    return {}


async def key_export(node: Running, watch: Watch) -> JsonObject:
    pem = await node.parts.workers.run(lambda: export_publisher_key(node.parts.config.home))
    return {"pem": pem.decode("ascii")}


async def key_import(node: Running, watch: Watch, *, pem: str) -> JsonObject:
    key = await node.parts.workers.run(lambda: import_publisher_key(node.parts.config.home, pem.encode()))
    return {"publisher_id": str(key.peer_id)}

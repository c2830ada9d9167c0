"""The user's own names, and the key they publish with."""

from __future__ import annotations

from p2phub.errors import NotFound
from p2phub.node.keystore import export_publisher_key, import_publisher_key
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch


async def names(node: Running, watch: Watch) -> JsonObject:
    return {"names": node.parts.ledger.names()}


async def name_add(node: Running, watch: Watch, *, alias: str, target: str) -> JsonObject:
    node.parts.resolver.check_name(alias, target)
    node.parts.ledger.name(alias, target)
    return {}


async def name_remove(node: Running, watch: Watch, *, alias: str) -> JsonObject:
    if alias not in node.parts.ledger.names():
        raise NotFound(f"there is no name {alias!r}", hint="`p2phub name list` shows them")
    node.parts.ledger.name(alias, None)
    return {}


async def key_export(node: Running, watch: Watch) -> JsonObject:
    return {"pem": export_publisher_key(node.parts.config.home).decode("ascii")}


async def key_import(node: Running, watch: Watch, *, pem: str) -> JsonObject:
    key = import_publisher_key(node.parts.config.home, pem.encode())
    return {"publisher_id": str(key.peer_id)}

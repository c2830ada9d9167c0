"""How OCI clients are told what cannot be had: a status, and a code in JSON. Pure.

    {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "acme/m has no tag v9 here"}]}

As for other clients a 404 is for what cannot be there; what may be there when somebody comes back is a 503.
Source: OCI distribution specification 1.1, "Error codes"; UNAVAILABLE and RANGE_INVALID as the first registry has them.
"""

from __future__ import annotations

from p2phub.http.json_body import json_body
from p2phub.http.refusal import Refusal

_CODES = {
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    405: "UNSUPPORTED",
    416: "RANGE_INVALID",
    429: "TOOMANYREQUESTS",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
}


def no_repository(message: str) -> Refusal:
    return Refusal(404, message, code="NAME_UNKNOWN")


def no_manifest(message: str) -> Refusal:
    return Refusal(404, message, code="MANIFEST_UNKNOWN")


def no_blob(message: str) -> Refusal:
    return Refusal(404, message, code="BLOB_UNKNOWN")


def bad_name() -> Refusal:
    return Refusal(400, "nothing here can be called so", code="NAME_INVALID")


def bad_digest() -> Refusal:
    return Refusal(400, "this is no digest", code="DIGEST_INVALID")


def unsupported() -> Refusal:
    message = "this registry is for pulling: publish a folder with `p2phub publish DIR --name NAME`"
    return Refusal(405, message, code="UNSUPPORTED", headers=[("Allow", "GET, HEAD")])


def told(refusal: Refusal) -> bytes:
    """Return the body that tells a refusal, whoever made it."""
    code = refusal.code or _CODES.get(refusal.status, "UNKNOWN")
    return json_body({"errors": [{"code": code, "message": refusal.message}]})

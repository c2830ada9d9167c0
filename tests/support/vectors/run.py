"""Run one vector: each operation takes what the vector gives and returns what it must give.

What an operation is given and gives stands in proto/vectors/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2phub.content import (
    Codec,
    Digest,
    cut_points,
    decode_lists,
    digest_of,
    pack,
    parse_digest,
    unpack,
    unpack_record,
)
from p2phub.formats import Layout, decode_layout, encode_layout
from p2phub.formats.gguf import parse_gguf
from p2phub.formats.parquet import parse_parquet
from p2phub.formats.safetensors import parse_safetensors
from p2phub.identity import (
    PeerId,
    decode_secret_key,
    encode_secret_key,
    open_envelope,
    parse_address,
    parse_peer_address,
    parse_peer_id,
    parse_web_url,
    peer_id_of_bytes,
    verify_raw,
)
from p2phub.manifest import (
    FileEntry,
    Known,
    adopted_paths,
    alone_digest,
    alone_root,
    check_name,
    check_path,
    check_paths,
    check_release,
    decode_manifest,
    dht_key,
    encode_manifest,
    encode_ticket,
    is_alone,
    judge,
    manifest_alone,
    mirror_blob_path,
    mirror_release_path,
    next_sequence,
    parse_reference,
    parse_ticket,
    read_release,
)

Given = dict[str, Any]


def read_bytes(parts: str | list[Any]) -> bytes:
    """Return the bytes that a vector gives: hex, or a list of hex and of {repeat: hex, times: n}."""
    if isinstance(parts, str):
        return bytes.fromhex(parts)
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part["repeat"]) * part["times"]
        for part in parts
    )


def plain(value: object) -> object:
    """Write a decoded value as the vectors do."""
    match value:
        case bytes():
            return {"$hex": value.hex()}
        case bool() | str():
            return value
        case int():
            return value if abs(value) < 1 << 53 else {"$int": str(value)}
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
    raise TypeError(type(value))


def run_unpack(given: Given) -> Given:
    data = read_bytes(given["bytes"])
    value = unpack(data)
    assert pack(value) == data
    return {"value": plain(value)}


def run_unpack_record(given: Given) -> Given:
    fields = unpack_record(read_bytes(given["bytes"]), given["kind"], 1)
    return {"names": [name for name in ("a", "b") if name in fields]}


def run_digest(given: Given) -> Given:
    digest = digest_of(read_bytes(given["bytes"]))
    return {"raw": digest.text(Codec.RAW), "digest": digest.raw.hex()}


def run_parse_digest(given: Given) -> Given:
    digest, codec = parse_digest(given["text"])
    assert digest.text(codec) == given["text"]
    return {"digest": digest.raw.hex(), "codec": codec.name.lower()}


def run_parse_peer_id(given: Given) -> Given:
    peer = parse_peer_id(given["text"])
    assert str(peer) == given["text"]
    assert peer_id_of_bytes(peer.raw) == peer
    return {"public_key": peer.public_key.hex()}


def run_parse_address(given: Given) -> Given:
    address = parse_address(given["text"])
    assert str(address) == given["text"]
    return {"ip": address.ip, "port": address.port}


def run_parse_peer_address(given: Given) -> Given:
    found = parse_peer_address(given["text"])
    assert str(found) == given["text"]
    return {"ip": found.address.ip, "port": found.address.port, "peer": str(found.peer)}


def run_verify(given: Given) -> Given:
    peer = PeerId(bytes.fromhex(given["public_key"]))
    return {"valid": verify_raw(peer, bytes.fromhex(given["message"]), bytes.fromhex(given["signature"]))}


def run_read_key_file(given: Given) -> Given:
    key = decode_secret_key(given["text"].encode())
    assert encode_secret_key(key) == given["text"].replace("\r\n", "\n").encode()
    return {"peer": str(key.peer_id)}


def run_open_envelope(given: Given) -> Given:
    signer, payload = open_envelope(
        read_bytes(given["bytes"]), given["domain"], payload_bytes_max=given["payload_bytes_max"]
    )
    return {"signer": signer.public_key.hex(), "payload": payload.hex()}


def run_check_name(given: Given) -> Given:
    check_name(given["text"])
    return {}


def run_parse_reference(given: Given) -> Given:
    reference = parse_reference(given["text"])
    assert str(reference) == given["text"]
    found = {
        "publisher": str(reference.publisher) if reference.publisher is not None else None,
        "petname": reference.petname,
        "name": reference.name,
        "tag": reference.tag,
        "digest": reference.digest.raw.hex() if reference.digest is not None else None,
        "ticket": True if reference.ticket is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def run_parse_ticket(given: Given) -> Given:
    ticket = parse_ticket(given["text"])
    assert parse_ticket(encode_ticket(ticket, private=True)) == ticket
    return {
        "manifest": ticket.manifest.raw.hex(),
        "release": ticket.release.hex() if ticket.release is not None else None,
        "providers": [str(provider) for provider in ticket.providers],
    }


def run_check_path(given: Given) -> Given:
    check_path(given["path"])
    check_paths([given["path"]])
    return {}


def run_check_paths(given: Given) -> Given:
    check_paths(given["paths"])
    check_paths(reversed(given["paths"]))
    return {}


def run_file_alone(given: Given) -> Given:
    file = given["file"]
    more = {name: bytes.fromhex(file[name]) for name in ("git", "layout") if name in file}
    entry = FileEntry(
        file["path"],
        file["size"],
        file["chunks"],
        Digest(bytes.fromhex(file["root"])),
        bytes.fromhex(file["sha256"]),
        more.get("git"),
        Digest(more["layout"]) if "layout" in more else None,
    )
    assert is_alone(manifest_alone(entry))
    assert decode_manifest(alone_root(entry), lambda page: None) == manifest_alone(entry)
    return {"digest": alone_digest(entry).raw.hex(), "root": alone_root(entry).hex()}


def run_adopted_paths(given: Given) -> Given:
    paths = adopted_paths(given["listing"])
    assert adopted_paths(reversed(given["listing"])) == paths
    return {"paths": list(paths)}


def run_cut_points(given: Given) -> Given:
    return {"cuts": list(cut_points(given["boundaries"], given["length"]))}


def run_decode_lists(given: Given) -> Given:
    blobs = {digest_of(data).raw: data for data in map(read_bytes, given["blobs"])}
    root = Digest(bytes.fromhex(given["root"]))
    chunks = decode_lists(root, given["size"], given["chunks"], lambda digest: blobs[digest.raw])
    if len(chunks) > 100:
        return {"bytes_total": sum(chunks.lengths), "count": len(chunks)}
    return {"lengths": list(chunks.lengths), "digests": chunks.digests.hex()}


def run_decode_manifest(given: Given) -> Given:
    pages: dict[Digest, bytes] = {}
    for page in given["pages"]:
        if isinstance(page, dict):  # A page that passes for another.
            pages[Digest(bytes.fromhex(page["as"]))] = read_bytes(page["bytes"])
        else:
            pages[digest_of(read_bytes(page))] = read_bytes(page)
    root = read_bytes(given["root"])
    manifest = decode_manifest(root, pages.get)
    if b"note" not in root + b"".join(pages.values()):  # With nothing in it that we do not know, it is ours to write.
        assert encode_manifest(manifest) == (root, *pages.values())
    found: Given = {"digest": digest_of(root).raw.hex()}
    if len(manifest.files) > 100:
        return {**found, "count": len(manifest.files)}
    return {**found, "files": [file_of(entry) for entry in manifest.files]}


def file_of(entry: FileEntry) -> Given:
    file: Given = {
        "path": entry.path,
        "size": entry.size,
        "chunks": entry.chunks,
        "root": entry.root.raw.hex(),
        "sha256": entry.sha256.hex(),
    }
    if entry.git_sha1 is not None:
        file["git"] = entry.git_sha1.hex()
    if entry.layout is not None:
        file["layout"] = entry.layout.raw.hex()
    return file


def spans_of(layout: Layout, start: int) -> list[list[Any]]:
    return [[span.name, span.start - start, span.stop - start, span.dtype, list(span.shape)] for span in layout.spans]


def run_decode_layout(given: Given) -> Given:
    data = read_bytes(given["bytes"])
    layout = decode_layout(data, size=given["size"])
    assert encode_layout(layout) == data
    spans = [[name, start, stop - start, *rest] for name, start, stop, *rest in spans_of(layout, 0)]
    return {"format": layout.format, "header_bytes": layout.header_bytes, "spans": spans}


def run_parse_safetensors(given: Given) -> Given:
    layout = _parse(parse_safetensors, given)
    return {"header_bytes": layout.header_bytes, "spans": spans_of(layout, layout.header_bytes)}


def run_parse_gguf(given: Given) -> Given:
    layout = _parse(parse_gguf, given)
    return {"header_bytes": layout.header_bytes, "spans": spans_of(layout, layout.header_bytes)}


def run_parse_parquet(given: Given) -> Given:
    return {"spans": spans_of(_parse(parse_parquet, given), 0)}


def _parse(parse: Callable[[int, Callable[[int, int], bytes]], Layout], given: Given) -> Layout:
    data = read_bytes(given["bytes"])

    def read(offset: int, length: int) -> bytes:
        part = data[offset : offset + length]
        assert len(part) == length, "asked for bytes that the file does not have"
        return part

    layout = parse(len(data), read)
    assert decode_layout(encode_layout(layout), size=len(data)) == layout
    return layout


def run_read_release(given: Given) -> Given:
    release = read_release(read_bytes(given["bytes"]))
    return {
        "publisher": str(release.publisher),
        "name": release.name,
        "tag": release.tag,
        "sequence": release.sequence,
        "manifest": release.manifest.raw.hex(),
        "previous": release.previous.raw.hex() if release.previous is not None else None,
        "kind": release.kind,
        "bytes": release.bytes_total,
        "created": release.created,
        "expires": release.expires,
        "licence": release.licence,
        "parents": [[manifest.raw.hex(), relation] for manifest, relation in release.parents],
        "description": release.description,
        "private": release.private,
    }


def run_check_release(given: Given) -> Given:
    check_release(read_release(read_bytes(given["bytes"])), now=given["now"])
    return {}


def run_judge(given: Given) -> Given:
    def known(signed: str) -> Known:
        return Known(bytes.fromhex(signed), read_release(bytes.fromhex(signed)))

    before = known(given["known"]) if given["known"] is not None else None
    judgement = judge(before, known(given["candidate"]), now=given["now"])
    return {
        "verdict": judgement.verdict.value,
        "believed": judgement.known.signed.hex(),
        "evidence": [signed.hex() for signed in judgement.known.evidence],
    }


def run_dht_key(given: Given) -> Given:
    return {"key": dht_key(parse_peer_id(given["publisher"]), given["name"], given["tag"])}


def run_next_sequence(given: Given) -> Given:
    return {"sequence": next_sequence(given["known"], given["now_ms"])}


def run_parse_web_url(given: Given) -> Given:
    url = parse_web_url(given["text"])
    return {"scheme": url.scheme, "host": url.host, "port": url.port, "target": url.target}


def run_mirror_blob_path(given: Given) -> Given:
    return {"path": mirror_blob_path(Digest(bytes.fromhex(given["digest"])))}


def run_mirror_release_path(given: Given) -> Given:
    return {"path": mirror_release_path(parse_peer_id(given["publisher"]), given["name"], given["tag"])}


OPERATIONS: dict[str, Callable[[Given], Given]] = {
    name.removeprefix("run_").replace("_", "-"): function
    for name, function in list(globals().items())
    if name.startswith("run_")
}

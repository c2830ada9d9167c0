"""Manifests, releases, references and tickets: what is published, by whom, and how a user names it. Pure."""

from p2phub.content import pack, unpack
from p2phub.manifest.adopted import ADOPT_IGNORED, adopted_paths, ignored
from p2phub.manifest.alone import alone_digest, alone_root, is_alone, manifest_alone
from p2phub.manifest.belief import Judgement, Known, Verdict, judge
from p2phub.manifest.gguf_files import (
    gguf_weights,
    given_with_gguf,
    is_gguf_shard,
    is_quantisation,
    quantisation_of,
)
from p2phub.manifest.hub_names import commit_of, git_blob_sha1, is_commit, is_git_sha1, is_sha256, lfs_pointer
from p2phub.manifest.mirror import (
    MIRROR_FOLDER,
    check_mirror,
    mirror_blob_path,
    mirror_of,
    mirror_release_path,
)
from p2phub.manifest.model import FileEntry, Manifest
from p2phub.manifest.names import DEFAULT_TAG, Name, check_name
from p2phub.manifest.ollama import OLLAMA_MEDIA_TYPE, OllamaImage, ollama_image
from p2phub.manifest.ollama import Kind as OllamaKind
from p2phub.manifest.ollama import Part as OllamaPart
from p2phub.manifest.pages import (
    decode_manifest,
    encode_manifest,
    lists_in_root,
    lists_on_page,
    manifest_pages,
)
from p2phub.manifest.paths import check_path, check_paths
from p2phub.manifest.reference import Reference, is_alias, is_under_a_key, parse_reference
from p2phub.manifest.release import (
    KINDS,
    RELATION_BYTES_MAX,
    Release,
    check_answers,
    check_release,
    dht_key,
    kept_release,
    named_manifest,
    next_sequence,
    read_release,
    sign_release,
)
from p2phub.manifest.ticket import Ticket, encode_ticket, parse_ticket

__all__ = [
    "ADOPT_IGNORED",
    "DEFAULT_TAG",
    "KINDS",
    "MIRROR_FOLDER",
    "OLLAMA_MEDIA_TYPE",
    "RELATION_BYTES_MAX",
    "FileEntry",
    "Judgement",
    "Known",
    "Manifest",
    "Name",
    "OllamaImage",
    "OllamaKind",
    "OllamaPart",
    "Reference",
    "Release",
    "Ticket",
    "Verdict",
    "adopted_paths",
    "alone_digest",
    "alone_root",
    "check_answers",
    "check_mirror",
    "check_name",
    "check_path",
    "check_paths",
    "check_release",
    "commit_of",
    "decode_manifest",
    "dht_key",
    "encode_manifest",
    "encode_ticket",
    "gguf_weights",
    "git_blob_sha1",
    "given_with_gguf",
    "ignored",
    "is_alias",
    "is_alone",
    "is_commit",
    "is_gguf_shard",
    "is_git_sha1",
    "is_quantisation",
    "is_sha256",
    "is_under_a_key",
    "judge",
    "kept_release",
    "lfs_pointer",
    "lists_in_root",
    "lists_on_page",
    "manifest_alone",
    "manifest_pages",
    "mirror_blob_path",
    "mirror_of",
    "mirror_release_path",
    "named_manifest",
    "next_sequence",
    "ollama_image",
    "pack",
    "parse_reference",
    "parse_ticket",
    "quantisation_of",
    "read_release",
    "sign_release",
    "unpack",
]

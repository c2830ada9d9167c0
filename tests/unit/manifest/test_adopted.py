"""The list of what no adopted repository has: read as gitignore reads it, the same in the specification, the same as
what publishing leaves out by itself."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from p2phub.engine.selection import Selection
from p2phub.manifest import ADOPT_IGNORED, adopted_paths, ignored

ROOT = Path(__file__).parents[3]
GIT = GitIgnoreSpec.from_lines(ADOPT_IGNORED)
NAMES = sorted({each.strip("/").replace("*", filler) for each in ADOPT_IGNORED for filler in ("", "x", "a.b")})
PARTS = st.sampled_from(NAMES) | st.sampled_from(["a", "README.md", ".gitattributes", "x~y", "tmp", "._", "~"])


@given(st.lists(PARTS, min_size=1, max_size=4), st.booleans())
def test_the_list_is_read_as_gitignore_reads_it(parts: list[str], is_folder: bool) -> None:
    path = "/".join(parts)
    assert ignored(path, is_folder) == GIT.match_file(path + "/" if is_folder else path)


def test_the_specification_names_the_list() -> None:
    page = (ROOT / "proto" / "manifest.md").read_text("utf-8")
    listed = re.search(r"that this list matches:\n\n((?:    .*\n)+)", page)
    assert listed is not None
    assert tuple(listed[1].split()) == ADOPT_IGNORED


def test_one_folder_has_one_manifest_whether_it_is_adopted_or_published() -> None:
    """But for what a user says of it. A file `.git` stands in the work tree of a submodule alone."""
    publishing = Selection()
    for name in (*NAMES, "a", "README.md", ".gitattributes", ".env"):
        for path in (name, f"{name}/x", f"sub/{name}"):
            if not path.endswith(".git"):
                assert ignored(path) == (publishing.ignore(path, False) is not None), path


def test_what_repositories_have_stays() -> None:
    listing = [
        ".gitattributes",
        ".github/workflows/main.yml",
        ".gitignore",
        ".huggingface.yaml",
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "data/train-00000-of-00002.parquet",
        "model-00001-of-00003.safetensors",
        "model.safetensors.index.json",
        "onnx/model_q4.onnx",
        "pytorch_model.bin",
    ]
    assert list(adopted_paths(reversed(listing))) == listing

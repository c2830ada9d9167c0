"""Files of models and datasets for whatever reads through fsspec: pandas, pyarrow, duckdb, `datasets`.

    pandas.read_parquet("p2phub://12D3Koo…/squad/train.parquet")
    fsspec.open("p2phub://datasets/acme/squad@v2/data/train.jsonl")

Reading fetches the chunks (1 MiB at most) that hold what is read, verified, into the home's own store, and no others.
`paths` says what a path means and `versions` what that leads to; `system` is what fsspec asks for, `files` an open
file, `ahead` how far it reads ahead, `shared` the hub that all of a process have in common. It knows the library alone.
Guide: docs/guides/fsspec.md.
"""

from p2phub.filesystem.system import P2phubFileSystem

__all__ = ["P2phubFileSystem"]

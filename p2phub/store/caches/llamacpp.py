"""Read the flat cache of older builds of llama.cpp: ORG_NAME_FILE.gguf, with what it noted of each beside it.

Newer ones use the cache of the Hugging Face tools (store/caches/huggingface). A model is one file, or the parts
that it was split into; where in its name the organisation ends is not to be told, so the name stays as it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from p2phub.errors import HubError
from p2phub.manifest import check_path
from p2phub.store.caches.found import CachedFile, CachedModel, Report, in_order
from p2phub.store.caches.links import Links
from p2phub.store.folders import fingerprint

_PART = re.compile(r"(.+)-[0-9]{5}-of-[0-9]{5}(\.gguf)", re.DOTALL)


def scan_llamacpp(root: Path, report: Report) -> None:
    """Report each model of `root`. Raises OSError if it cannot be read, Stopped."""
    real = os.path.realpath(root)
    links = Links(real)
    models: dict[str, list[CachedFile]] = {}
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".gguf"))
    for name in names:
        report.go_on()
        try:
            check_path(name)
            led = links.follow(real, name)
        except FileNotFoundError:
            continue  # Gone since we looked, or a link to what is gone.
        except (OSError, HubError) as exc:
            report.problem(root / name, exc)
        else:
            part = _PART.fullmatch(name)
            model = models.setdefault(part[1] + part[2] if part is not None else name, [])
            model.append(CachedFile(name, Path(led.place), fingerprint(led.status), None))
    for name, files in models.items():
        report.models.append(
            CachedModel(
                cache="llamacpp",
                name=name,
                revision=None,
                folder=root,
                files=in_order(files),
                missing=(),
                complete=False,
                left_out=(),
            )
        )

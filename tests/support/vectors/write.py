"""The text of each file of vectors, one case a line."""

from __future__ import annotations

import json

from tests.support.vectors import identifiers, manifest, mirror, release


def texts() -> dict[str, str]:
    """Return path below proto/vectors to the text that must stand there."""
    made = {**identifiers.files(), **manifest.files(), **release.files(), **mirror.files()}
    result: dict[str, str] = {}
    for path, (section, operations) in made.items():
        groups = [
            f'{{"operation": {json.dumps(operation)}, "cases": [\n'
            + ",\n".join(json.dumps(case) for case in cases)
            + "\n]}"
            for operation, cases in operations.items()
        ]
        result[path] = f'{{"source": {json.dumps("proto/" + section)}, "groups": [\n' + ",\n".join(groups) + "\n]}\n"
    return result

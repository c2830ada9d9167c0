"""Write `proto/vectors`: `python -m tests.support.vectors`."""

from tests.support.vectors.build import VECTORS
from tests.support.vectors.write import texts

for path, text in texts().items():
    (VECTORS / path).parent.mkdir(parents=True, exist_ok=True)
    (VECTORS / path).write_text(text, encoding="utf-8")

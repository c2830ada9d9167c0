"""Load what can be loaded of a model without torch, and print as JSON what came of it.

    python tests/clients/load_model.py ORG/NAME     # or a folder

The config and the tokenizer by transformers, the weights by safetensors; where the file of the weights stands is found
as transformers finds it. A test compares what two places give, so each tensor is told by its bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys

from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import cached_file

SENTENCE = "Models move between machines, chunk by verified chunk."


def main(name: str) -> None:
    config = AutoConfig.from_pretrained(name)
    tokenizer = AutoTokenizer.from_pretrained(name)
    tokens = tokenizer(SENTENCE)["input_ids"]
    tensors: dict[str, list[object]] = {}
    with safe_open(cached_file(name, "model.safetensors"), framework="numpy") as weights:
        for key in sorted(weights.keys()):
            tensor = weights.get_tensor(key)
            tensors[key] = [str(tensor.dtype), list(tensor.shape), hashlib.sha256(tensor.tobytes()).hexdigest()]
    loaded = {
        "model": type(config).__name__,
        "hidden_size": config.hidden_size,
        "tokenizer": type(tokenizer).__name__,
        "tokens": tokens,
        "text": tokenizer.decode(tokens, skip_special_tokens=True),
        "tensors": tensors,
    }
    print(json.dumps(loaded))


if __name__ == "__main__":
    main(sys.argv[1])

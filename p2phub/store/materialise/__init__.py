"""Give what is here in the form that other programs want: a Hugging Face cache, Ollama's store."""

from p2phub.store.materialise.hf_cache import write_snapshot
from p2phub.store.materialise.hf_place import HfPlace
from p2phub.store.materialise.ollama import export, full_name
from p2phub.store.materialise.source import Source

__all__ = ["HfPlace", "Source", "export", "full_name", "write_snapshot"]

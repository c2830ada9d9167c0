"""Header bytes of tensor files to layouts: named spans. Never runs what it reads. Pure."""

"""The decisions of a fetch: who is asked for what, when a lease moves, who is banned. Pure."""

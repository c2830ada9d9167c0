"""The library: the hub, its verbs, and the values and errors a user needs."""

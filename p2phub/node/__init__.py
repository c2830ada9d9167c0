"""Our own process: home, keys, configuration, composition, lifecycle, control socket."""

"""The processes that the benchmark starts itself: the bare limit, libtorrent's two sides, and the one-pass hashers."""

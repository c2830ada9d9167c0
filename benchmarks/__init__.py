"""Race p2phub against its peers and against what the machine can do at best. Run it: `python -m benchmarks`."""

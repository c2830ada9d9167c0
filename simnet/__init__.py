"""The simulator: the production engine and carrier on a simulated network, disk and clock, from a seed.

Real: `engine`, `transfer`, `wire`, `store.memory`, and of `net` all between the ports and the socket (links, service,
reception, control). Simulated: connections, the disk's faults, time and chance. Nothing in p2phub imports this.
How to run it: docs/guides/simulator.md; why it is so: docs/decisions/0070-simulator.md.
"""

"""For whoever keeps nodes running: what they count, whether they are well, and how they tell the system so.

`sites` stands at a port: `/metrics` for Prometheus (`exposition` says it in its words), `/healthz` and `/readyz` for
whoever restarts a node or sends it work. `systemd` tells the service manager that a node is up and not stuck.
Source: docs/operations/README.md; docs/decisions/0108-operations.md.
"""

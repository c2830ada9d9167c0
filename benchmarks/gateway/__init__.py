"""What the gateway is for: unchanged tools read through it as fast as from a web server, or as the peers give.

Names and subjects stand in `plan.GATEWAY`; what must be reached in `targets`. What a ratio is of takes turns in each
round, forwards and backwards, so that what the machine does beside falls on both.
"""

from benchmarks.gateway.subjects import measure_gateway

__all__ = ["measure_gateway"]

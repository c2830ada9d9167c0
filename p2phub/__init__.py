"""p2phub moves AI models and datasets between machines without a central host.

The library's door. It is lazy (PEP 562): naming a thing here loads the room it lives in and nothing else, so that
`import p2phub.content` stays small and a fetch by ticket never loads libp2p.
"""

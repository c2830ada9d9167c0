"""Models of a whole network, for sizes at which the production engine cannot be run: what it does, not how.

    bounds         closed forms: what no model may beat, and what each must come near
    churn          how long nodes stay: who is there when
    dht_events     10^3 to 10^5 nodes of the DHT: `p2phub.discovery` as shipped, on a modelled network
    dht_arrays     10^3 to 10^6: lookups, stores and churn as arrays
    crowd_events   10^1 to 10^3 requesters: a `p2phub.transfer.Session` each, on modelled links
    crowd_arrays   10^1 to 10^6: who has which piece, as bits, round by round

Each is held against the level below it at a size that both can do: tests/simulation/test_ladder.py. What is reused and
what is modelled, and the figures: docs/decisions/0071-models.md. All chance comes from a numpy Generator passed in.
"""

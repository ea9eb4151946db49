"""Entity resolution in the ledger: the helpers of the stages `match_models` and `entities`.

What belongs here: lookups, the resolver, and the reasons for its decisions. What does not: blocking, scoring
and clustering, which know nothing of the ledger (see `entities`).
"""

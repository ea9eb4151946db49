"""The graph in the ledger: loading it, and asking it, for people, programs and agents."""

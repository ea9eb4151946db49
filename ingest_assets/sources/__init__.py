"""Where documents come from: one package or module a system, each an implementation of `model.Source`.

What belongs here: reading, and saying what should exist. What does not: chunking, embedding, the ledger.
"""

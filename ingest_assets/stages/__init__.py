"""The stages of every source's lineage: how each finds its difference in the ledger, and records it.

What belongs here: SQL, and the order in which rows change. How a document is read, cut, embedded or
stored is the business of the rooms `sources`, `chunking`, `embedding` and `collection`.
"""

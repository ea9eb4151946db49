"""The stages of every source's lineage: how each finds what differs in the ledger, and records it.

What belongs here: SQL, and the order in which rows change. How a document is read, cut, embedded or stored
belongs to the rooms `sources`, `chunking`, `embedding` and `collection`.
"""

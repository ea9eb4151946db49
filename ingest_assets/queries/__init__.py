"""What answers questions: search, what the index holds, documents, and entities.

What belongs here: reading the ledger and the published collections. What does not: writing anything, and how
an interface (command line, HTTP, MCP) presents an answer.
"""

"""Git repositories, remote or on this machine, read at a commit and never checked out.

What belongs here: which repositories may be read, fetching them, and their files as documents. What does not:
how source code is cut into pieces (chunking), settings, the ledger.
"""

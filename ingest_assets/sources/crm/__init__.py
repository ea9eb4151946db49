"""A CRM in a file, a folder or a server's database, described by a mapping file and never disturbed.

What belongs here: the mapping format, the read-only reader, and a generator of sample CRMs. What does not:
entity resolution (entities) and how records are cut into pieces (chunking).
"""

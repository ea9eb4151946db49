"""A CRM kept in one SQLite file, described by a mapping file and read without ever disturbing its writer.

What belongs here: the mapping format, the read-only reader, and a generator of sample CRMs. What does not:
entity resolution (entities) and how records are cut into pieces (chunking).
"""

"""A CRM kept in one SQLite file, described by a mapping file and read without ever disturbing its writer.

What belongs here: the mapping format, the read-only reader, and a generator of sample CRMs. What does not:
who is who among the people it holds (entities) and how their records are cut into pieces (chunking).
"""

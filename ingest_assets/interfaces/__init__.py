"""The interfaces for people, programs and agents: command line, HTTP, the guarded Dagster UI, and MCP.

What belongs here: a package for each interface, and what they share: addresses (`listening`), callers
(`tokens`), limits (`limits`), failures (`failures`) and background jobs (`job_service`). What does not: the
work itself. An interface parses its input, calls `queries` and `jobs`, and presents the result.
"""

"""The interfaces for people, programs and agents: the command line, HTTP with the search page, and MCP.

What belongs here: a package for each interface, and what they share: callers (`tokens`), rate limits
(`limits`) and background jobs (`job_service`). What does not: the work itself. An interface parses its input,
calls `queries` and `jobs`, and presents the result.
"""

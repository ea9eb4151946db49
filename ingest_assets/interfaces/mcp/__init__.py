"""The interface for agents: tools of the Model Context Protocol, over stdio and streamable HTTP.

- `tools`: the list of tools, with the descriptions that agents choose by
- `arguments`, `answers`: the schemas of their arguments and answers
- `searching`, `documents`, `entities`, `indexing`, `writing`: what they do
- `calls`: one call, from its arguments to its answer and its row in the log
- `refusals`: refused requests, which are logged too
- `fetching`: what an agent may have fetched
- `declared`: the operations that sources declare, as tools
- `messages`: the form of a request over HTTP
- `server`: the protocol, through the official SDK
- `workbench_pool`: workbenches for concurrent calls

An agent can write notes to the ledger, start jobs that fetch from hosts that the operator has listed, and
what sources declare for it. Nothing else that it does reaches outside.

What belongs here: tools for agents. What does not: tokens, which the HTTP service checks, and anything that
Dagster runs.
"""

from ingest_assets.interfaces.mcp.server import MAX_BODY, mcp_app, serve_stdio
from ingest_assets.interfaces.mcp.workbench_pool import WorkbenchPool

__all__ = ["MAX_BODY", "WorkbenchPool", "mcp_app", "serve_stdio"]

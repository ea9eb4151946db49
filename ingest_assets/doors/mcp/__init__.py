"""The agents' way in: tools of the Model Context Protocol, over stdio and streamable HTTP.

- `tools`: which there are, and how an agent tells them apart
- `arguments`, `answers`: their shapes
- `searching`, `documents`, `entities`, `indexing`, `writing`: what they do
- `calls`: one call, from its arguments to its answer and its line in the log
- `strangers`: who is not let in, in the log too
- `paging`: the size budget of an answer, and the cursor to the rest
- `server`: the protocol, through the official SDK
- `benches`: workbenches for calls at once

No tool contacts anyone or reaches outside: what an agent writes is a note in the ledger or a queued job.
What belongs here: agents. What does not: tokens, which the HTTP door checks, and anything that Dagster runs.
"""

from ingest_assets.doors.mcp.benches import Benches
from ingest_assets.doors.mcp.calls import SCOPES, Caller
from ingest_assets.doors.mcp.server import MAX_BODY, mcp_app, serve_stdio

__all__ = ["MAX_BODY", "SCOPES", "Benches", "Caller", "mcp_app", "serve_stdio"]

"""The log of calls: who called which tool, with which arguments, and the outcome. It only grows.

- `entries`: appending and reading
- `hiding`: what of a call is not logged, because it may be a secret
- `verification`: whether the log is what was written

What belongs here: the log. What does not: what a call is (`interfaces.mcp.calls`), and the digests
and triggers that the database keeps (`ledger.audit_chain`).
"""

from ingest_assets.audit_log.entries import MAX_LISTED, LoggedCall, Outcome, append, read
from ingest_assets.audit_log.hiding import MAX_ARGUMENTS, arguments_text
from ingest_assets.audit_log.verification import Fault, Verification, verify

__all__ = [
    "MAX_ARGUMENTS",
    "MAX_LISTED",
    "Fault",
    "LoggedCall",
    "Outcome",
    "Verification",
    "append",
    "arguments_text",
    "read",
    "verify",
]

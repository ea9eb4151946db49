"""Which dense model to use, as plain data.

What belongs here: the choice, its defaults and bounds. What does not: where the values come from (the
settings), and what they lead to (the module of each kind).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSpec:
    """A choice of dense model. The bundled one needs nothing; from `url` on, fields are the endpoint's."""

    kind: str = "bundled"  # of `embedding.KINDS`
    model: str | None = None  # fastembed's or the endpoint's name for it
    path: Path | None = None  # fastembed: a local folder with the model's files; nothing is downloaded then
    dimension: int | None = None  # what the model must have; None: whatever it has
    url: str | None = field(default=None, repr=False)  # base, with or without /v1; may hold a password
    api_key: SecretStr | None = None  # sent as a bearer token
    verify_tls: bool = True
    ca_file: Path | None = None  # PEM certificates to trust instead of the public ones
    timeout_s: float = 60.0  # for one answer, from the request to the last byte
    batch_count: int = 64  # texts per request, at most
    batch_chars: int = 64_000  # characters per request, at most; a longer text is sent alone
    max_attempts: int = 5  # requests for one batch, the first included
    concurrency: int = 4  # requests under way at once, at most

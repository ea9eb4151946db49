"""Which client speaks to a remote. What belongs here: that choice, by the URL's protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.repositories import over_http, over_ssh
from ingest_assets.sources.repositories.policy import Policy

if TYPE_CHECKING:
    from dulwich.client import GitClient


def client(url: str, policy: Policy, budget: FetchBudget) -> GitClient:
    """A git client for one conversation with the repository at `url`. Pass empty paths to its methods."""
    if url.startswith("ssh://"):
        return over_ssh.client(url, policy, budget)
    return over_http.client(url, policy, budget)

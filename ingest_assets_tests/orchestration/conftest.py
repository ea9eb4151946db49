"""A built index, a CRM without one, and a repository, for tests that run jobs."""

from ingest_assets_tests.orchestration.shop import home, repo
from ingest_assets_tests.support.fixtures import built, built_once, empty, ingest_here

__all__ = ["built", "built_once", "empty", "home", "ingest_here", "repo"]

"""A built index, a CRM without one, and a repository, for tests that run jobs."""

from ingest_assets_tests.fixtures_built import built, built_once, empty, ingest_here
from ingest_assets_tests.orchestration.shop import home, repo

__all__ = ["built", "built_once", "empty", "home", "ingest_here", "repo"]

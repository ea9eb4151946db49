"""A built index, and a CRM without one, for tests that run jobs."""

from ingest_assets_tests.support.fixtures import built, built_once, empty, ingest_here

__all__ = ["built", "built_once", "empty", "ingest_here"]

"""A built index of a CRM."""

from ingest_assets_tests.fixtures_built import built_once

__all__ = ["built_once"]

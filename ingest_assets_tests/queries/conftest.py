"""A built index of a CRM."""

from ingest_assets_tests.support.fixtures import built_once

__all__ = ["built_once"]

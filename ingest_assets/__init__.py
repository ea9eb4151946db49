"""Ingest Assets: keep a hybrid Qdrant index exactly in step with the systems a company already has."""

__version__ = "0.2.0.dev0"  # of the release that CHANGELOG.md prepares

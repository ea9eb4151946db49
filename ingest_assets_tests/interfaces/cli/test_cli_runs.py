"""What `ingest refresh` does with several sources, of which one cannot be run."""

from __future__ import annotations

import pytest

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.model import ConfigurationError
from ingest_assets_tests.support.built_index import Home


def test_a_source_that_cannot_be_run_does_not_stop_the_others(built: Home) -> None:
    # As after it was left out while the definitions were made.
    report = run_sources(built.load(), sources=["mail", "crm"], overrides=built.overrides)
    assert not report.success
    assert report.errors == ["mail: There is no source 'mail'. Sources: crm, papers, repositories, spool."]
    assert report.checks["crm/collection/complete"]["passed"]


def test_a_source_that_cannot_be_run_alone_is_an_error(built: Home) -> None:
    with pytest.raises(ConfigurationError, match="There is no source 'mail'"):
        run_sources(built.load(), sources=["mail"], overrides=built.overrides)

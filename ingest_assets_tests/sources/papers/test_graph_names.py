"""A name that more entities have than one question looks at."""

from __future__ import annotations

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.model import RequestError
from ingest_assets.sources.papers.graph import lookup
from ingest_assets.sources.papers.graph import queries as ask
from ingest_assets_tests.sources.papers.loading import Rows, entity, load


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_a_name_that_very_many_have_is_theirs_whose_own_it_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "COMPARED", 10)
    others = [entity(f"e{i:03}", f"Thing {i}", synonyms=["It", "They"]) for i in range(30)]
    load(ledger, Rows([*others, entity("z", "It"), entity("y", "He", synonyms=["Him"])], [], [], []))
    assert ask.entity(ledger, "it").entity.entity_id == "z"  # which is not among the first ten
    assert ask.entity(ledger, "him").entity.entity_id == "y"
    with pytest.raises(RequestError, match=r"^More than 10 entities are called 'they'.*such as 'Thing "):
        ask.entity(ledger, "they")
    monkeypatch.setattr(lookup, "COMPARED", 30)
    with pytest.raises(RequestError, match=r"^30 entities are called 'they'"):
        ask.entity(ledger, "they")

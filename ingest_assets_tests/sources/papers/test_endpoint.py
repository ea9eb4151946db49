"""A model that does as it is asked: what it is sent, and the bundle that becomes of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError, ItemError, UnavailableError
from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.bundles import Bundle
from ingest_assets.sources.papers.extraction import content_digest, prompt
from ingest_assets.sources.papers.extraction.endpoint import SpendingLimitError, TokenBudget
from ingest_assets_tests.embedding.endpoint_server import Endpoint, Reply
from ingest_assets_tests.sources.papers.chat_server import (
    ARTICLE,
    KEY,
    RESULTS,
    chatting,
    entity,
    extractor,
    of_its_part,
    relation,
    says,
    truth,
)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with chatting() as running:
        yield running


def _assert_offsets_are_true(bundle: Bundle, article: Article = ARTICLE) -> None:
    texts = {section.id: section.text for section in article.sections}
    for mention in (each for one in bundle.entities for each in one.mentions):
        assert texts[mention.section][mention.start_offset : mention.end_offset] == mention.text
    for evidence in bundle.evidence_entities:
        assert evidence.section is not None
        assert texts[evidence.section][evidence.start_offset : evidence.end_offset] == evidence.text


def test_a_good_answer_becomes_a_bundle(endpoint: Endpoint) -> None:
    bundle = extractor(endpoint).extract(ARTICLE)
    assert bundle.notes == ()
    assert [(each.id, each.name, each.synonyms) for each in bundle.entities] == [
        ("Drug-1", "Hydrocortisone", ()),
        ("Disease-2", "primary adrenal insufficiency", ("PAI",)),
        ("Gene-3", "AIRE", ()),
    ]
    assert [
        (each.subject, each.predicate, each.object, each.confidence) for each in bundle.relationships
    ] == [
        ("Drug-1", "TREATS", "Disease-2", 0.9),
        ("Gene-3", "INCREASES_RISK", "Disease-2", 0.7),
    ]
    assert {each.asserted_by for each in bundle.relationships} == {"llm"}
    assert {each.source_papers for each in bundle.relationships} == {("PMC77",)}
    by_id = {each.id: each for each in bundle.evidence_entities}
    assert all(set(each.evidence_ids) <= set(by_id) for each in bundle.relationships)
    # The evidence is the paper's own words, with its dash and its accents.
    assert by_id[bundle.relationships[1].evidence_ids[0]].text == RESULTS.split("\n\n")[1].rstrip(".")
    _assert_offsets_are_true(bundle)


def test_mentions_are_the_words_themselves(endpoint: Endpoint) -> None:
    bundle = extractor(endpoint).extract(ARTICLE)
    mentions = {each.name: [(m.section, m.text) for m in each.mentions] for each in bundle.entities}
    assert mentions == {
        "Hydrocortisone": [
            ("results", "Hydrocortisone"),
            ("discussion", "hydrocortisone"),
            ("back", "hydrocortisone"),
        ],
        "primary adrenal insufficiency": [
            ("results", "primary adrenal insufficiency"),
            ("results", "PAI"),
            ("results", "primary adrenal insufficiency"),
            ("discussion", "PAI"),
        ],
        "AIRE": [("results", "AIRE")],  # "aire" is another word
    }


def test_what_is_sent(endpoint: Endpoint) -> None:
    extractor(endpoint, max_tokens=123).extract(ARTICLE)
    [sent] = endpoint.requests
    assert endpoint.paths == ["/v1/chat/completions"]
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("m", 0.0, 123)
    schema = sent["response_format"]["json_schema"]
    assert sent["response_format"]["type"] == "json_schema"
    assert schema["strict"] is True
    assert schema["schema"]["additionalProperties"] is False
    asked = sent["messages"][1]["content"]
    assert "PMC77" in asked
    assert RESULTS in asked
    assert "Nobody funded" not in asked


def test_a_model_that_takes_no_temperature_is_sent_none(endpoint: Endpoint) -> None:
    extractor(endpoint, temperature=None).extract(ARTICLE)
    assert "temperature" not in endpoint.requests[0]


def test_the_provenance_has_what_the_answer_depends_on(endpoint: Endpoint) -> None:
    asking = extractor(endpoint, url=endpoint.url.replace("//", "//user:hidden-pw@"), api_key=None)
    bundle = asking.extract(ARTICLE)
    made = bundle.extraction_provenance
    assert made["content_digest"] == content_digest(ARTICLE)
    assert made["extractor"] == asking.identity
    assert made["prompt"] == {
        "version": prompt.VERSION,
        "template": "pass1_prompt",
        "checksum": prompt.checksum(),
    }
    assert made["models"]["llm"]["name"] == "m"
    assert made["model_info"]["temperature"] == 0.0
    text = bundle.model_dump_json()
    assert not any(word in text for word in ("hidden-pw", "127.0.0.1", KEY, "localhost"))
    assert asking.identity != extractor(endpoint, temperature=0.5).identity
    assert asking.identity != extractor(endpoint, model="n").identity


def test_the_same_answers_give_the_same_bytes(endpoint: Endpoint) -> None:
    first = extractor(endpoint).extract(ARTICLE).model_dump_json()
    with chatting() as another:
        assert extractor(another).extract(ARTICLE).model_dump_json() == first


def test_a_long_paper_is_asked_in_parts_whose_answers_are_joined() -> None:
    with chatting(of_its_part) as endpoint:
        whole = extractor(endpoint).extract(ARTICLE)
        asking = extractor(endpoint, max_input_chars=150)
        parts = asking.extract(ARTICLE)
    assert len(endpoint.requests) > 3
    assert parts.entities == whole.entities
    assert parts.relationships == whole.relationships
    assert asking.budget.spent == 1_000 * (len(endpoint.requests) - 1)


def test_parts_that_name_an_entity_differently_mean_one(endpoint: Endpoint) -> None:
    endpoint.then(
        says(truth(entities=[entity(1, "Disease", "PAI")], relationships=[])),
        says(
            truth(entities=[entity(1, "Disease", "Primary Adrenal Insufficiency", "PAI")], relationships=[])
        ),
    )
    bundle = extractor(endpoint, max_input_chars=225).extract(ARTICLE)
    assert len(endpoint.requests) == 2
    assert [(each.name, each.synonyms) for each in bundle.entities] == [
        ("PAI", ("Primary Adrenal Insufficiency",))
    ]


def test_entities_that_one_answer_tells_apart_stay_apart(endpoint: Endpoint) -> None:
    said = [
        entity(1, "Disease", "Adrenal insufficiency", "PAI"),
        entity(2, "Disease", "PAI", "primary adrenal insufficiency"),
    ]
    quote = "Hydrocortisone treats primary adrenal insufficiency (PAI)."
    endpoint.then(says(truth(entities=said, relationships=[relation(2, "SUBTYPE_OF", 1, quote)])))
    bundle = extractor(endpoint).extract(ARTICLE)
    assert [each.name for each in bundle.entities] == ["Adrenal insufficiency", "PAI"]
    assert [(each.subject, each.object) for each in bundle.relationships] == [("Disease-2", "Disease-1")]


@given(st.lists(st.text(" .\nab\u00e9", max_size=120), max_size=6), st.integers(1, 40))
def test_parts_have_every_word_in_order_and_keep_their_bound(texts: list[str], bound: int) -> None:
    sections = tuple(
        Section(id=f"s{number}", kind="body", path=("S",), text=text) for number, text in enumerate(texts)
    )
    groups = prompt.parts(Article(paper_id="P1", sections=sections), bound)
    assert all(sum(len(piece.text) for piece in group) <= bound for group in groups)
    sent = "".join(piece.text for group in groups for piece in group)
    assert "".join(sent.split()) == "".join("".join(texts).split())


def test_a_paper_without_text_is_not_asked_about(endpoint: Endpoint) -> None:
    with pytest.raises(ItemError, match="no text"):
        extractor(endpoint).extract(Article(paper_id="PMC1"))
    assert endpoint.requests == []


# --- Spending -----------------------------------------------------------------------------------------------


def test_a_run_stops_before_it_spends_more_than_its_limit(endpoint: Endpoint) -> None:
    asking = extractor(endpoint, max_run_tokens=6_000, max_tokens=1_000)
    asking.extract(ARTICLE)
    with pytest.raises(SpendingLimitError, match=r"PASS1_LLM_MAX_RUN_TOKENS \(6,000\)") as caught:
        list(map(asking.extract, [ARTICLE] * 9))
    assert isinstance(caught.value, UnavailableError)
    assert asking.budget.spent == 1_000 * len(endpoint.requests) <= 6_000


def test_a_paper_that_no_run_can_pay_is_parked_before_it_costs(endpoint: Endpoint) -> None:
    with pytest.raises(ItemError, match="PASS1_LLM_MAX_RUN_TOKENS"):
        extractor(endpoint, max_run_tokens=2_000).extract(ARTICLE)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "usage", [None, {}, {"total_tokens": -5}, {"total_tokens": "1"}, {"total_tokens": True}]
)
def test_a_server_that_counts_nothing_does_not_lift_the_limit(endpoint: Endpoint, usage: object) -> None:
    asking = extractor(endpoint.then(says(truth(), usage=usage)))
    asking.extract(ARTICLE)
    assert asking.budget.spent > 1_000


def test_answers_that_are_refused_are_paid_too(endpoint: Endpoint) -> None:
    asking = extractor(endpoint.then(says("Sure! Here it is.")))
    with pytest.raises(ItemError):
        asking.extract(ARTICLE)
    assert asking.budget.spent == 1_000
    asking.budget.reserve(asking.budget.limit - 1_000)  # nothing is left set aside


@pytest.mark.parametrize("lost", [Reply(delay_s=0.4), Reply(headers={"Content-Length": "99999"})])
def test_answers_that_never_arrive_may_have_cost_as_much(endpoint: Endpoint, lost: Reply) -> None:
    asking = extractor(endpoint.then(lost), timeout_s=0.2)
    asking.extract(ARTICLE)
    assert len(endpoint.requests) == 2
    assert asking.budget.spent > 1_000 + asking._spec.max_tokens  # of the answer, and of the lost one
    endpoint.then(*[lost] * 9)
    asking = extractor(endpoint, timeout_s=0.2, max_attempts=9, max_tokens=1_000, max_run_tokens=6_000)
    with pytest.raises(SpendingLimitError):
        asking.extract(ARTICLE)
    assert len(endpoint.requests) < 2 + 9
    assert asking.budget.spent <= 6_000


def test_a_paper_whose_parts_cost_too_much_is_left_between_two_of_them(endpoint: Endpoint) -> None:
    usage = {"total_tokens": 59_500}
    endpoint.usual = says(truth(), usage=usage)
    asking = extractor(endpoint, max_input_chars=60, max_tokens=1_000, max_run_tokens=60_000)
    with pytest.raises(SpendingLimitError, match="59,500 tokens of PASS1_LLM_MAX_RUN_TOKENS"):
        asking.extract(ARTICLE)
    assert len(endpoint.requests) == 1


def test_a_budget_is_shared() -> None:
    budget = TokenBudget(100)
    budget.reserve(60)
    with pytest.raises(SpendingLimitError):
        budget.reserve(60)
    budget.release(60)
    budget.spend(40)
    budget.reserve(60)


@pytest.mark.parametrize(
    "changes", [{"model": " "}, {"max_tokens": 0}, {"url": "ftp://h"}, {"max_run_tokens": 0}]
)
def test_settings_that_cannot_be_used(endpoint: Endpoint, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        extractor(endpoint, **changes)

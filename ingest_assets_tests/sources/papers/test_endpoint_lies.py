"""A model or a server that lies: refused and counted, or a clear outcome, and never half a bundle."""

from __future__ import annotations

import gzip
import socket
import time
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets import json_client
from ingest_assets.model import ConfigurationError, IngestError, ItemError, UnavailableError
from ingest_assets.sources.papers.extraction import endpoint as endpoint_module
from ingest_assets.sources.papers.extraction.endpoint_checks import Reason
from ingest_assets.sources.papers.extraction.endpoint_text import FoldedText, fold
from ingest_assets_tests.embedding.endpoint_server import Endpoint, Reply
from ingest_assets_tests.sources.papers.chat_server import (
    ARTICLE,
    KEY,
    chatting,
    entity,
    envelope,
    extractor,
    relation,
    says,
    truth,
)
from ingest_assets_tests.support.raw_server import byte_by_byte, raw_server

TREATS = "Hydrocortisone treats primary adrenal insufficiency (PAI)."
KNOWN = truth()["entities"]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with chatting() as running:
        yield running


LIES: dict[str, tuple[Reason, dict[str, Any]]] = {
    "another paper": (Reason.PAPER_ID, truth(paper_id="PMC10667925")),
    "a class of its own": (Reason.UNKNOWN_CLASS, truth(entities=[*KNOWN, entity(4, "Vibe", "adults")])),
    "an entity that is not there": (
        Reason.NOT_MENTIONED,
        truth(entities=[*KNOWN, entity(4, "Drug", "Aspirin", "acetylsalicylic acid")]),
    ),
    "an entity without a name": (Reason.NOT_MENTIONED, truth(entities=[*KNOWN, entity(4, "Drug", " ")])),
    "a part of a word": (Reason.NOT_MENTIONED, truth(entities=[*KNOWN, entity(4, "Drug", "cortisone")])),
    "small letters": (Reason.NOT_MENTIONED, truth(entities=[*KNOWN, entity(4, "Gene", "Pai")])),
    "a synonym": (
        Reason.SYNONYM,
        truth(entities=[entity(1, "Drug", "Hydrocortisone", "Cortef"), *KNOWN[1:]]),
    ),
    "a name": (Reason.NAME, truth(entities=[*KNOWN, entity(4, "Population", "grown-ups", "adults")])),
    "an id twice": (Reason.REPEATED, truth(entities=[*KNOWN, entity(3, "Population", "adults")])),
    "an identifier": (
        Reason.MADE_UP_ID,
        truth(entities=[entity(1, "Drug", "Hydrocortisone", canonical_id="MeSH:D000001"), *KNOWN[1:]]),
    ),
    "an authority": (
        Reason.MADE_UP_ID,
        truth(entities=[entity(1, "Drug", "Hydrocortisone", canonical_id="12345"), *KNOWN[1:]]),
    ),
    "a predicate": (Reason.UNKNOWN_PREDICATE, truth(relationships=[relation(1, "LOVES", 2, TREATS)])),
    "a subject": (Reason.NO_ENTITY, truth(relationships=[relation(9, "TREATS", 2, TREATS)])),
    "an object": (Reason.NO_ENTITY, truth(relationships=[relation(1, "TREATS", 9, TREATS)])),
    "too sure": (Reason.CONFIDENCE, truth(relationships=[relation(1, "TREATS", 2, TREATS, sure=1.01)])),
    "less than unsure": (Reason.CONFIDENCE, truth(relationships=[relation(1, "TREATS", 2, TREATS, sure=-1)])),
    "itself": (Reason.WITH_ITSELF, truth(relationships=[relation(2, "SAME_AS", 2, TREATS)])),
    "itself by another id": (
        Reason.WITH_ITSELF,
        truth(
            entities=[*KNOWN, entity(4, "Disease", "PRIMARY adrenal  insufficiency")],
            relationships=[relation(2, "SAME_AS", 4, TREATS)],
        ),
    ),
    "a changed quote": (
        Reason.QUOTE,
        truth(relationships=[relation(1, "TREATS", 2, TREATS.replace("treats", "cures"))]),
    ),
    "a shortened quote": (
        Reason.QUOTE,
        truth(relationships=[relation(1, "TREATS", 2, "Hydrocortisone ... insufficiency")]),
    ),
    "a word as a quote": (Reason.QUOTE, truth(relationships=[relation(1, "TREATS", 2, "Hydrocortisone")])),
    "a quote about something else": (
        Reason.ABOUT_NEITHER,
        truth(relationships=[relation(1, "TREATS", 2, "The aire of the patients was not measured.")]),
    ),
    "no quote": (Reason.NO_EVIDENCE, truth(relationships=[relation(1, "TREATS", 2)])),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_counted(endpoint: Endpoint, lie: str) -> None:
    reason, said = LIES[lie]
    asking = extractor(endpoint.then(says(said)))
    bundle = asking.extract(ARTICLE)
    assert asking.refused[reason] >= 1
    assert any(note.startswith(f"Refused: {reason}: ") for note in bundle.notes)
    if said["relationships"] != truth()["relationships"]:
        assert bundle.relationships == ()
        assert bundle.evidence_entities == ()
    assert bundle.paper.pmcid == "PMC77"
    assert {each.paper_id for each in bundle.evidence_entities} <= {"PMC77"}
    assert {each.name for each in bundle.entities} <= {each["name"] for each in KNOWN} | {"adults"}
    assert all(each.mentions and each.mesh_id != "D000001" for each in bundle.entities)


def test_the_ids_of_an_entity_are_those_that_dictionaries_give_its_name(endpoint: Endpoint) -> None:
    said = [
        entity(1, "Drug", "Hydrocortisone", canonical_id="MeSH:D006854"),
        entity(2, "Gene", "AIRE", canonical_id="HGNC:361"),  # of another gene
        entity(3, "Population", "adults"),
        entity(4, "Disease", "primary adrenal insufficiency", canonical_id="12345"),  # no authority
    ]
    asking = extractor(endpoint.then(says(truth(entities=said, relationships=[]))))
    drug, gene, people, disease = asking.extract(ARTICLE).entities
    assert (drug.mesh_id, gene.hgnc_id) == ("D006854", "HGNC:360")
    assert disease.canonical_id != "12345"
    assert (people.mesh_id, people.umls_id, people.canonical_id) == (None, None, None)
    assert asking.refused == {Reason.MADE_UP_ID: 2}


def test_an_answer_of_which_nothing_is_true_leaves_no_bundle(endpoint: Endpoint) -> None:
    """An empty bundle would stand for the paper from then on."""
    asking = extractor(endpoint.then(says(truth(entities=[entity(1, "Drug", "Aspirin")]))))
    with pytest.raises(ItemError, match="Nothing that the model said of PMC77"):
        asking.extract(ARTICLE)
    assert asking.refused[Reason.NOT_MENTIONED] == 1


def test_a_paper_of_which_there_is_nothing_to_say_has_an_empty_bundle(endpoint: Endpoint) -> None:
    bundle = extractor(endpoint.then(says(truth(entities=[], relationships=[])))).extract(ARTICLE)
    assert (bundle.entities, bundle.notes) == ((), ())


MANY = [entity(number, "Drug", "Hydrocortisone") for number in range(100_000)]
BAD_CONTENTS: dict[str, tuple[object, str]] = {
    "prose": ("Certainly! Hydrocortisone treats PAI.", "not JSON"),
    "half a JSON": ('{"paper_id": "PMC77", "entities": [', "ends in the middle"),
    "a list": ("[]", "another shape"),
    "a number": ("7", "another shape"),
    "another shape": ({"answer": 1}, "another shape"),
    "entities as text": (truth(entities="none"), "another shape"),
    "an entity as text": (truth(entities=["Hydrocortisone"]), "another shape"),
    "a number as a name": (truth(entities=[entity(1, "Drug", "x") | {"name": 7}]), "another shape"),
    "sure as a word": (truth(relationships=[relation(1, "TREATS", 2, TREATS, sure="very")]), "another shape"),
    "not a number": ('{"paper_id": "PMC77", "entities": [], "relationships": NaN}', "damaged"),
    "an abyss": ("[" * 100_000, "not JSON"),
    "thousands of entities": (truth(entities=MANY[:5_000], relationships=[]), "at most 500"),
    "a hundred thousand entities": (truth(entities=MANY, relationships=[]), "more than 8 MiB"),
    "nothing": ("", "empty"),
    "null": (None, "empty"),
}


@pytest.mark.parametrize("case", BAD_CONTENTS)
def test_an_answer_that_cannot_be_used_parks_the_paper(endpoint: Endpoint, case: str) -> None:
    content, message = BAD_CONTENTS[case]
    with pytest.raises(ItemError, match=message) as caught:
        extractor(endpoint.then(says(content)), timeout_s=60.0).extract(ARTICLE)
    assert len(endpoint.requests) == 1
    assert len(str(caught.value)) < 500


REFUSAL = {"index": 0, "finish_reason": "stop", "message": {"content": None, "refusal": "I cannot."}}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (envelope(truth(), finish="length"), "PASS1_LLM_MAX_ANSWER_TOKENS"),
        (envelope(truth(), finish="content_filter"), "withheld"),
        (envelope(None, choices=[REFUSAL]), "refused to answer"),
        (envelope(None, finish="tool_calls"), "empty"),
        ({"choices": []}, "like a chat endpoint"),
        ({"choices": [7]}, "like a chat endpoint"),
        ([], "like a chat endpoint"),
        (b'{"choices": [{"message": {"content": "', "ends in the middle"),
    ],
)
def test_an_envelope_that_cannot_be_used_parks_the_paper(
    endpoint: Endpoint, answer: object, message: str
) -> None:
    with pytest.raises(ItemError, match=message):
        extractor(endpoint.then(Reply(body=lambda _: answer))).extract(ARTICLE)


def test_a_later_part_that_fails_leaves_no_bundle(endpoint: Endpoint) -> None:
    endpoint.then(says(truth()), says("{"))
    asking = extractor(endpoint, max_input_chars=150)
    with pytest.raises(ItemError, match="part 2 of"):
        asking.extract(ARTICLE)
    assert asking.refused == {}


def test_an_endless_answer_is_left(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_BODY", 1 << 20)
    with pytest.raises(ItemError, match="more than 1 MiB"):
        extractor(endpoint.then(Reply(body=lambda _: b" " * (2 << 20)))).extract(ARTICLE)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_endpoint_that_is_overloaded_is_asked_again_and_later(endpoint: Endpoint, status: int) -> None:
    overloaded = Reply(status, body=lambda _: {"error": "busy"})
    endpoint.then(overloaded)
    assert extractor(endpoint).extract(ARTICLE).entities
    endpoint.then(overloaded, overloaded)
    with pytest.raises(UnavailableError, match=rf"{status} \(busy\), 2 attempts"):
        extractor(endpoint).extract(ARTICLE)


def test_an_endpoint_that_does_not_answer(endpoint: Endpoint) -> None:
    endpoint.then(*[Reply(delay_s=0.5)] * 2)
    with pytest.raises(UnavailableError, match="did not answer"):
        extractor(endpoint, timeout_s=0.1).extract(ARTICLE)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: b\r\n", id="a head"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n", id="other answers before it"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b" " * 99, id="a body"),
    ],
)
def test_an_answer_that_comes_byte_by_byte_is_left_in_time(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_client, "LATE_S", 0.1)
    with raw_server(byte_by_byte(said)) as port:
        asking = extractor(Endpoint(f"http://127.0.0.1:{port}"), timeout_s=0.3)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"within 0\.3 s, 2 attempts"):
            asking.extract(ARTICLE)
    assert time.monotonic() - began < 3
    assert asking.budget.spent > 0  # it may have cost as much as if it had come


def test_a_wait_that_the_endpoint_asks_for_is_kept(endpoint: Endpoint) -> None:
    asked = Reply(429, body=lambda _: {"error": "slow down"}, headers={"Retry-After": "1"})
    assert extractor(endpoint.then(asked)).extract(ARTICLE).entities
    first, second = endpoint.times
    assert 1 <= second - first < 3


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "image/png", "nonsense"])
def test_the_answer_counts_and_not_what_it_calls_itself(endpoint: Endpoint, kind: str) -> None:
    endpoint.then(Reply(body=lambda _: envelope(truth()), headers={"Content-Type": kind}))
    assert extractor(endpoint).extract(ARTICLE).entities
    endpoint.then(Reply(body=lambda _: b"<html>{}</html>", headers={"Content-Type": "application/json"}))
    with pytest.raises(ConfigurationError, match="does not answer with JSON"):
        extractor(endpoint).extract(ARTICLE)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_an_answer_that_cannot_be_decompressed(endpoint: Endpoint, encoding: str) -> None:
    endpoint.usual = Reply(body=lambda _: b"\xff\xfe nothing", headers={"Content-Encoding": encoding})
    with pytest.raises(IngestError):
        extractor(endpoint).extract(ARTICLE)


def test_a_small_answer_that_grows_is_left(endpoint: Endpoint) -> None:
    bomb = gzip.compress(b" " * (20 << 20))
    endpoint.then(Reply(body=lambda _: bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ItemError, match="more than 8 MiB"):
        extractor(endpoint, timeout_s=60.0).extract(ARTICLE)
    assert len(bomb) < 100_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(endpoint: Endpoint, status: int) -> None:
    """Whoever it leads to would have the key and the paper."""
    with chatting() as other:
        there = {"Location": f"{other.url}/v1/chat/completions"}
        endpoint.then(Reply(status, body=lambda _: {}, headers=there))
        with pytest.raises(ConfigurationError, match="a redirect, which is not followed"):
            extractor(endpoint).extract(ARTICLE)
        assert other.requests == []


def test_an_endpoint_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UnavailableError, match="Check that the extraction endpoint is running"):
        extractor(Endpoint(url)).extract(ARTICLE)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(401), ConfigurationError),
        (Reply(403), ConfigurationError),
        (Reply(404), ConfigurationError),
        (Reply(302, headers={"Location": "http://127.0.0.1:1/"}), ConfigurationError),
        (Reply(body=lambda _: b"<html>Welcome</html>"), ConfigurationError),
        (Reply(400), ItemError),
        (Reply(413), ItemError),
    ],
)
def test_a_refused_request_shows_no_key(endpoint: Endpoint, reply: Reply, error: type[IngestError]) -> None:
    if reply.status != 200:
        reply.body = lambda _: {"error": {"message": f"the key {KEY} is wrong"}}
    with pytest.raises(error) as caught:
        extractor(endpoint.then(reply)).extract(ARTICLE)
    assert KEY not in str(caught.value)
    assert len(endpoint.requests) == 1


# --- Finding what is quoted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("a \u201cself-made\u201d\n drug", 'a "self-made" drug', "a \u201cself-made\u201d\n drug"),
        ("It is Sj\u00f6gren\u2019s.", "Sjo\u0308gren's", "Sj\u00f6gren\u2019s"),
        ("It is Sjo\u0308gren's.", "Sj\u00f6gren's", "Sjo\u0308gren's"),
        ("of \ufb01brosis here", "fibrosis", "\ufb01brosis"),
        ("co\u00adrtisol", "cortisol", "co\u00adrtisol"),
        ("IL\u20116 \u2212 high", "il-6 - HIGH", "IL\u20116 \u2212 high"),
        ("p \u2260 0", "p = 0", None),
        ("not effective", "effective", "effective"),
        ("ineffective", "effective", None),
        ("a \ufb01b", "i", None),
        ("alpha", "", None),
    ],
)
def test_where_a_quote_stands(text: str, quote: str, found: str | None) -> None:
    place = FoldedText(text).find(quote)
    assert (place and text[slice(*place)]) == found


@given(st.text(max_size=60), st.data())
def test_words_of_a_text_are_found_where_they_are(text: str, data: st.DataObject) -> None:
    """Whatever characters there are: what is found folds to what was looked for."""
    start = data.draw(st.integers(0, len(text)))
    quote = text[start : data.draw(st.integers(start, len(text)))]
    for way in (quote, unicodedata.normalize("NFD", quote), quote.upper()):
        place = FoldedText(text).find(way)
        if place is not None:
            assert fold(text[slice(*place)]) == fold(way)
    if quote.split() == text.split() and len(fold(quote)) > 5:
        assert FoldedText(text).find(quote) is not None

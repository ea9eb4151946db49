"""A chat endpoint on this machine, over real HTTP: a model that knows one paper, or lies as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.extraction.endpoint import EndpointExtractor, EndpointSpec
from ingest_assets_tests.embedding.endpoint_server import Endpoint, Reply, serving

KEY = "sk-chat-secret-4711"
RESULTS = (
    "Hydrocortisone treats primary adrenal insufficiency (PAI).\n\n"
    "Variants of AIRE increase the risk of primary adrenal insufficiency \u2014 in na\u00efve patients.\n\n"
    "The aire of the patients was not measured."
)
ARTICLE = Article(
    paper_id="PMC77",
    pmcid="PMC77",
    title="Adrenal insufficiency in adults",
    study_type="research-article",
    sections=(
        Section(id="title", kind="title", path=("Title",), text="Adrenal insufficiency in adults"),
        Section(id="results", kind="body", path=("Results",), text=RESULTS),
        Section(
            id="discussion",
            kind="body",
            path=("Discussion",),
            text="We recommend hydrocortisone for adults with PAI.",
        ),
        Section(id="back", kind="back", path=("Funding",), text="Nobody funded hydrocortisone."),
    ),
)


def entity(number: int, entity_class: str, name: str, *synonyms: str, **more: Any) -> dict[str, Any]:
    """An entity as a model lists one."""
    said = {"id": f"e{number}", "class": entity_class, "name": name, "synonyms": list(synonyms)}
    return said | {"canonical_id": None} | more


def relation(subject: int, predicate: str, other: int, *quotes: str, sure: object = 0.9) -> dict[str, Any]:
    """A relationship as a model claims one."""
    return {
        "subject": f"e{subject}",
        "predicate": predicate,
        "object": f"e{other}",
        "confidence": sure,
        "quotes": list(quotes),
    }


def truth(**changes: Any) -> dict[str, Any]:
    """What a good model says of the article; `changes` replace its keys."""
    return {
        "paper_id": "PMC77",
        "entities": [
            entity(1, "Drug", "Hydrocortisone"),
            entity(2, "Disease", "primary adrenal insufficiency", "PAI"),
            entity(3, "Gene", "AIRE"),
        ],
        "relationships": [
            relation(1, "TREATS", 2, "Hydrocortisone treats primary adrenal insufficiency (PAI)."),
            relation(
                3, "INCREASES_RISK", 2,
                "Variants of AIRE increase the risk of primary  adrenal insufficiency - in naive patients",
                sure=0.7,
            ),
        ],
    } | changes  # fmt: skip


def envelope(content: object, *, finish: object = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion; `content` that is not text is sent as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1_000},
    } | more


def says(content: object, **more: Any) -> Reply:
    """The reply of a model that says this."""
    return Reply(body=lambda _: envelope(content, **more))


def of_its_part(body: dict[str, Any]) -> dict[str, Any]:
    """What a good model says of the part that it was sent."""
    sent = body["messages"][-1]["content"]
    entities = [each for each in truth()["entities"] if each["name"].lower() in sent.lower()]
    named = {each["id"] for each in entities}
    relations = [each for each in truth()["relationships"] if {each["subject"], each["object"]} <= named]
    return envelope({"paper_id": "PMC77", "entities": entities, "relationships": relations})


@contextmanager
def chatting(usual: Callable[[dict[str, Any]], object] = lambda _: envelope(truth())) -> Iterator[Endpoint]:
    """A running chat endpoint, which gives `usual` after the replies that a test sets."""
    with serving() as endpoint:
        endpoint.usual = Reply(body=usual)
        yield endpoint


def extractor(endpoint: Endpoint, *, url: str = "", **changes: Any) -> EndpointExtractor:
    """An extractor that asks the endpoint, with short waits between its attempts."""
    spec: dict[str, Any] = {"model": "m", "api_key": SecretStr(KEY), "timeout_s": 5.0, "max_attempts": 2}
    return EndpointExtractor(EndpointSpec(url=url or endpoint.url, **(spec | changes)), backoff_s=0.01)

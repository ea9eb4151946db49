"""The form of a model's answer: its JSON schema, and reading an answer strictly.

What belongs here: shapes, types and bounds, for which no paper is needed. What does not: whether an answer is
true of a paper (`endpoint_checks`).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest_assets.model import ItemError

SAME_AS = "SAME_AS"
CLASSES = (
    "Disease", "Drug", "Gene", "Protein", "Variant", "Biomarker", "Hormone", "Chemical", "Symptom",
    "Procedure", "DiagnosticTest", "AdverseEvent", "BiologicalProcess", "Pathway", "AnatomicalStructure",
    "CellLine", "Organism", "Population",
)  # fmt: skip
PREDICATES = (
    "TREATS", "PREVENTS", "CAUSES", "INCREASES_RISK", "REDUCES_RISK", "ASSOCIATED_WITH", "INDICATES",
    "DETECTS", "SUBTYPE_OF", "INHIBITS", "ACTIVATES", "REGULATES", "UPREGULATES", "DOWNREGULATES",
    "INTERACTS_WITH", "TARGETS", "ENCODES", "SECRETES", "INVOLVED_IN", SAME_AS,
)  # fmt: skip
# Of one answer, which is about a few pages.
MAX_ENTITIES = 500
MAX_RELATIONSHIPS = 1_000

_Text = Annotated[str, Field(max_length=20_000)]


class _Said(BaseModel):
    # A server that does not enforce the schema may add fields. Nobody reads them.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class SaidEntity(_Said):
    """An entity as a model lists one. Nothing in it has been checked."""

    id: _Text
    entity_class: Annotated[_Text, Field(alias="class")]
    name: _Text
    synonyms: Annotated[list[_Text], Field(max_length=100)] = []
    canonical_id: _Text | None = None


class SaidRelationship(_Said):
    """What a model claims that the paper says. Nothing in it has been checked."""

    subject: _Text
    predicate: _Text
    object: _Text
    confidence: float
    quotes: Annotated[list[_Text], Field(max_length=100)]


class Answer(_Said):
    """A model's answer about some sections of a paper."""

    paper_id: _Text
    entities: Annotated[list[SaidEntity], Field(max_length=MAX_ENTITIES)]
    relationships: Annotated[list[SaidRelationship], Field(max_length=MAX_RELATIONSHIPS)]


def answer_schema() -> dict[str, Any]:
    """The JSON schema that an endpoint is given.

    It uses only what every server's implementation has: no lengths, no defaults, all fields required.
    """
    text = {"type": "string"}
    entity = {
        "id": text,
        "class": {"type": "string", "enum": list(CLASSES)},
        "name": text,
        "synonyms": {"type": "array", "items": text},
        "canonical_id": {"type": ["string", "null"]},
    }
    relationship = {
        "subject": text,
        "predicate": {"type": "string", "enum": list(PREDICATES)},
        "object": text,
        "confidence": {"type": "number"},
        "quotes": {"type": "array", "items": text},
    }
    return _object(
        {
            "paper_id": text,
            "entities": {"type": "array", "items": _object(entity)},
            "relationships": {"type": "array", "items": _object(relationship)},
        }
    )


def read_answer(content: str) -> Answer:
    """The answer in a message's content.

    Raises ItemError when it is not JSON, or JSON of another shape, or longer than an answer can be. The
    message names the place, and repeats nothing of the content.
    """
    try:
        found = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        began = content.lstrip()[:1] == "{"
        what = "JSON that ends in the middle, or is damaged" if began else "something that is not JSON"
        raise ItemError(f"The model answered with {what}: check that it can follow a JSON schema.") from None
    try:
        return Answer.model_validate(found)
    except (ValidationError, RecursionError) as error:
        raise ItemError(f"The model answered with JSON of another shape ({_where(error)}).") from None


def known_class(name: str) -> bool:
    """Whether an entity may have this class."""
    return name in CLASSES


def known_predicate(name: str) -> bool:
    """Whether a relationship may have this predicate."""
    return name in PREDICATES


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _where(error: ValidationError | RecursionError) -> str:
    if not isinstance(error, ValidationError):
        return "it is nested too deeply"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(step) for step in first["loc"]) or "the whole"
    return f"{place}: {first['msg'][:100]}"

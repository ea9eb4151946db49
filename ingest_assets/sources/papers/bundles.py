"""The bundle of one paper, as pass 1 makes it: its entities, what it says of them, and where.

What belongs here: the form of a bundle. What does not: its file (`bundle_files`), making one (`extraction`),
and merging several (`merging`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=1_000)]
Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# Of one paper. A textbook of 2,000 pages stays below them; a model that repeats itself does not.
MAX_ENTITIES = 20_000
MAX_SAID = 50_000  # relationships, or sentences
MAX_MENTIONS = 100_000  # of one entity
MAX_LISTED = 1_000  # synonyms of an entity, evidence of a relationship
Short = Annotated[str, Field(max_length=1_000)]  # a word of ours: a method, a section's id
Listed = Annotated[tuple[str, ...], Field(max_length=MAX_LISTED)]
_UNSAID = 0.5  # the confidence of what others do not say how far to trust


def _year(value: Any) -> int | None:
    """A year that another extractor wrote in words, or not at all, is unknown."""
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value), Field(max_length=20_000)]
Object = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]


class _Part(BaseModel):
    # Others' bundles may say more than we use. It stays in their files, and is not looked at.
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class BundlePaper(_Part):
    """What a bundle says about its paper. The file's name says which paper it is, not `pmcid`."""

    doi: str | None = None
    pmcid: str | None = None
    title: str = ""
    authors: Annotated[tuple[str, ...], Field(max_length=MAX_SAID)] = ()
    journal: str | None = None
    year: Annotated[int | None, BeforeValidator(_year)] = None
    study_type: str | None = None
    eco_type: str | None = None


class Mention(_Part):
    """The words of a section that name an entity: `text` is exactly section.text[start_offset:end_offset]."""

    section: Short  # a section's id
    start_offset: int = Field(ge=0)  # in characters
    end_offset: int = Field(ge=0)  # exclusive
    text: Annotated[str, Field(max_length=10_000)]


class BundleEntity(_Part):
    """An entity as one paper knows it. Its id means something within the bundle only."""

    id: Name
    entity_class: Annotated[Name, Field(alias="class")]
    name: Name
    synonyms: Listed = ()
    symbol: str | None = None
    brand_names: Listed = ()
    source: Short = "extracted"
    canonical_id: str | None = None  # with its authority: "MeSH:D000224"
    mesh_id: str | None = None
    umls_id: str | None = None
    hgnc_id: str | None = None
    rxnorm_id: str | None = None
    loinc_code: str | None = None
    uniprot_id: str | None = None
    mentions: Annotated[tuple[Mention, ...], Field(max_length=MAX_MENTIONS)] = ()  # old bundles have none


class BundleEvidence(_Part):
    """A sentence of the paper that supports relationships."""

    id: Name
    entity_class: Annotated[str, Field(alias="class")] = "Evidence"
    entity_id: str | None = None
    paper_id: Short
    text_span_id: str | None = None
    text: Text
    confidence: Confidence = _UNSAID
    extraction_method: Short = ""
    study_type: str | None = None
    eco_type: str | None = None
    source: Short = "extracted"
    # Where `text` stands: a section's id, and offsets into its text. None in old bundles.
    section: Short | None = None
    start_offset: int | None = None
    end_offset: int | None = None


class BundleRelationship(_Part):
    """What the paper says of two of its entities. SAME_AS says that they are one."""

    subject: Name
    predicate: Name
    object: Name
    evidence_ids: Listed = ()
    source_papers: Listed = ()
    confidence: Confidence = _UNSAID
    properties: Object = Field(default_factory=dict)
    section: Short | None = None
    asserted_by: Short = ""
    resolution: Short | None = None
    note: str | None = None


class Bundle(_Part):
    """One paper's bundle, with the six keys of `pass1_bundles/paper_{paper_id}.json`."""

    paper: BundlePaper
    # Who made it, and from what. Of ours, `extraction_provenance["content_digest"]` is the digest of the text
    # that it was made from, and `["extractor"]` the identity of the extractor.
    extraction_provenance: Object = Field(default_factory=dict)
    entities: Annotated[tuple[BundleEntity, ...], Field(max_length=MAX_ENTITIES)] = ()
    evidence_entities: Annotated[tuple[BundleEvidence, ...], Field(max_length=MAX_SAID)] = ()
    relationships: Annotated[tuple[BundleRelationship, ...], Field(max_length=MAX_SAID)] = ()
    notes: Annotated[tuple[str, ...], Field(max_length=MAX_SAID)] = ()

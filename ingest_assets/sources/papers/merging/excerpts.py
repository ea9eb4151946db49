"""What pass 3 needs of a paper's bundle: where entities are mentioned, and the sentences behind statements.

What belongs here: taking it from a bundle, and keeping it, for many papers, outside memory until entities are
merged. What does not: rows, which speak of merged entities (`graph`).
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple, Self

from ingest_assets.model import UnavailableError
from ingest_assets.sources.papers.bundles import Bundle, BundleEntity
from ingest_assets.sources.papers.merging.words import Names, Sentence

_IN_MEMORY = 8 << 20  # bytes


class MentionSaid(NamedTuple):
    """Words that name an entity of the bundle. Without a section, their place is not known."""

    entity: str
    section: str | None
    start: int | None
    end: int | None
    text: str
    context: str | None  # the sentence, if the place is not known
    confidence: float
    method: str


class EvidenceSaid(NamedTuple):
    """A sentence behind a statement about two entities of the bundle."""

    subject: str
    predicate: str
    object: str
    section: str | None
    start: int | None
    end: int | None
    text: str
    confidence: float


class Excerpt(NamedTuple):
    """What one bundle says, and in which year its paper appeared."""

    year: int | None
    mentions: list[MentionSaid]
    evidence: list[EvidenceSaid]


class Excerpts:
    """Excerpts in the order in which they were added; beyond 8 MiB they are in a temporary file."""

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._file: IO[bytes] = SpooledTemporaryFile(in_memory)  # noqa: SIM115 - closed by __exit__
        self._sizes: list[tuple[str, int]] = []

    def add(self, paper_id: str, excerpt: Excerpt) -> None:
        """Keep one. Raises UnavailableError if there is no room for temporary files."""
        year, mentions, evidence = excerpt
        raw = marshal.dumps((year, [tuple(each) for each in mentions], [tuple(each) for each in evidence]))
        try:
            self._file.write(raw)
        except OSError as error:
            raise UnavailableError(
                f"There is no room for temporary files ({error.strerror}). Make room, or set TMPDIR."
            ) from error
        self._sizes.append((paper_id, len(raw)))

    def __iter__(self) -> Iterator[tuple[str, Excerpt]]:
        self._file.seek(0)
        for paper_id, size in self._sizes:
            year, mentions, evidence = marshal.loads(self._file.read(size))  # noqa: S302 - written above
            # As tuples without names: there are many, and each is taken apart at once.
            yield paper_id, Excerpt(year, mentions, evidence)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def excerpt_of(bundle: Bundle) -> Excerpt:
    """Of one bundle. Evidence of SAME_AS is included: whether it merges is not known yet."""
    method = min((each.extraction_method for each in bundle.evidence_entities), default="") or "rules"
    mentions = [
        MentionSaid(entity.id, each.section, each.start_offset, each.end_offset, each.text, None, 1.0, method)
        for entity in bundle.entities
        for each in entity.mentions
    ]
    if not has_places(bundle):
        mentions += _named_in_evidence(bundle, method)
    return Excerpt(bundle.paper.year, mentions, list(_evidence(bundle)))


def has_places(bundle: Bundle) -> bool:
    """Whether it says where entities are mentioned. Old bundles do not: all their offsets are made up."""
    return any(each.mentions for each in bundle.entities) or any(
        each.section is not None and each.start_offset is not None for each in bundle.evidence_entities
    )


def _named_in_evidence(bundle: Bundle, method: str) -> Iterator[MentionSaid]:
    """The entities that each sentence names, with the words."""
    names = Names((each.id, _names(each)) for each in bundle.entities)
    for each in bundle.evidence_entities:
        how = each.extraction_method or method
        for entity, words in names.named_in(Sentence(each.text)).items():
            yield MentionSaid(entity, None, None, None, words, each.text, each.confidence, how)


def _names(entity: BundleEntity) -> list[str]:
    return [entity.name, *entity.synonyms, entity.symbol or "", *entity.brand_names]


def _evidence(bundle: Bundle) -> Iterator[EvidenceSaid]:
    known = {each.id: each for each in bundle.evidence_entities if each.text}
    for said in bundle.relationships:
        for evidence_id in said.evidence_ids:
            if (found := known.get(evidence_id)) is None:
                continue
            section, start, end = found.section, found.start_offset, found.end_offset
            if section is None or start is None or end is None:
                section = start = end = None
            yield EvidenceSaid(
                said.subject, said.predicate, said.object, section, start, end, found.text, found.confidence
            )

"""The extractor that needs no network and no model: dictionaries, abbreviations and patterns.

What belongs here: names and statements of a paper as its bundle. What does not: finding them (`names`,
`symbols`, `relations`). The same article gives the same bundle, byte for byte.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property

from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.bundles import (
    Bundle,
    BundleEntity,
    BundleEvidence,
    BundleRelationship,
    Mention,
)
from ingest_assets.sources.papers.extraction import bundle_paper, names, provenance
from ingest_assets.sources.papers.extraction.dictionaries import Dictionaries, Entry, digest, load
from ingest_assets.sources.papers.extraction.relations import Argument, statements
from ingest_assets.sources.papers.extraction.sentences import rows, sentences

NAME = "rules"
VERSION = "3"
ASSERTED_BY = "rules"
MAX_EVIDENCE = 10  # sentences of one relationship; the first ones
MAX_RELATIONSHIPS = 2_000  # of one paper; those with most evidence
MAX_MENTIONS = 2_000  # of one entity in one paper


class RulesExtractor:
    """Makes bundles by rules alone."""

    @cached_property
    def _dictionaries(self) -> Dictionaries:
        return load()

    @property
    def identity(self) -> str:
        """Name, version and the digest of the dictionaries."""
        return f"{NAME}:{VERSION}:{digest()[:16]}"

    def close(self) -> None:
        """It has nothing open."""

    def extract(self, article: Article) -> Bundle:
        """The bundle of this article. A paper without a known name has an empty one."""
        draft = _Draft(article)
        for section, found in names.of_article(article, self._dictionaries):
            draft.section(section, found)
        return Bundle(
            paper=bundle_paper(article),
            extraction_provenance=provenance(article, self, pipeline=(NAME, VERSION)),
            entities=draft.bundle_entities(),
            evidence_entities=draft.bundle_evidence(),
            relationships=draft.bundle_relationships(),
        )


@dataclass
class _Entity:
    id: str
    entry: Entry
    mentions: list[Mention] = field(default_factory=list)
    surfaces: dict[str, None] = field(default_factory=dict)  # in the order of the paper


@dataclass
class _Relation:
    confidence: float
    section: str  # of its first sentence
    evidence: dict[int, None] = field(default_factory=dict)  # positions of sentences, in their order


@dataclass
class _Draft:
    """A bundle in the making."""

    article: Article
    entities: dict[tuple[str, ...], _Entity] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    evidence: list[BundleEvidence] = field(default_factory=list)
    relations: dict[tuple[str, str, str], _Relation] = field(default_factory=dict)

    def section(self, section: Section, found: list[names.Name]) -> None:
        """Take in the names of a section and what its sentences say of them."""
        arguments = [self._mention(section, name) for name in found]
        starts = [argument.start for argument in arguments]
        spans = rows if section.kind == "table" else sentences
        for start, end in spans(section.text):
            inside = arguments[bisect_left(starts, start) : bisect_left(starts, end)]
            if len(inside) > 1:
                self._sentence(section, start, end, inside)

    def _mention(self, section: Section, name: names.Name) -> Argument:
        entry = name.entity
        # One authority's id is one entity; without any, the name is.
        same = (entry.entity_class, *(entry.ids[0] if entry.ids else ("name", entry.name.lower())))
        entity = self.entities.get(same)
        if entity is None:
            count = self.counts[entry.entity_class] = self.counts.get(entry.entity_class, 0) + 1
            entity = self.entities[same] = _Entity(f"{entry.entity_class.lower()}-{count}", entry)
        text = section.text[name.start : name.end]
        if len(entity.mentions) < MAX_MENTIONS:
            entity.mentions.append(
                Mention(section=section.id, start_offset=name.start, end_offset=name.end, text=text)
            )
        entity.surfaces.setdefault(text)
        return Argument(name.start, name.end, entity.id, entry.entity_class)

    def _sentence(self, section: Section, start: int, end: int, inside: list[Argument]) -> None:
        text = section.text[start:end]
        shifted = [each._replace(start=each.start - start, end=each.end - start) for each in inside]
        position = -1
        for said in statements(text, shifted):
            relation = self.relations.get((said.subject, said.predicate, said.object))
            if relation is None:
                relation = _Relation(said.confidence, section.id)
                self.relations[said.subject, said.predicate, said.object] = relation
            relation.confidence = max(relation.confidence, said.confidence)
            if len(relation.evidence) >= MAX_EVIDENCE:
                continue
            if position < 0:
                position = self._add_evidence(section, start, end, text, said.confidence)
            relation.evidence.setdefault(position)

    def _add_evidence(self, section: Section, start: int, end: int, text: str, confidence: float) -> int:
        number = len(self.evidence) + 1
        self.evidence.append(
            BundleEvidence(
                id=f"evidence-{number}",
                paper_id=self.article.paper_id,
                text_span_id=f"{section.id}:{start}-{end}",
                text=text,
                confidence=confidence,
                extraction_method=ASSERTED_BY,
                study_type=self.article.study_type or None,
                section=section.id,
                start_offset=start,
                end_offset=end,
            )
        )
        return number - 1

    def bundle_entities(self) -> tuple[BundleEntity, ...]:
        """The entities by class and first mention."""
        return tuple(
            BundleEntity(
                id=each.id,
                entity_class=each.entry.entity_class,
                name=each.entry.name,
                synonyms=_synonyms(each),
                symbol=each.entry.name if each.entry.entity_class == "Gene" else None,
                source="dictionary" if each.entry.ids else "extracted",
                mentions=tuple(each.mentions),
                **dict(each.entry.ids),
            )
            for each in self.entities.values()
        )

    def _kept(self) -> list[tuple[tuple[str, str, str], _Relation]]:
        """The relationships, of too many those that more sentences support, in the order of the paper."""
        items = list(self.relations.items())
        if len(items) <= MAX_RELATIONSHIPS:
            return items
        order = sorted(
            range(len(items)), key=lambda at: (-items[at][1].confidence, -len(items[at][1].evidence), at)
        )
        return [items[at] for at in sorted(order[:MAX_RELATIONSHIPS])]

    def bundle_evidence(self) -> tuple[BundleEvidence, ...]:
        """The sentences that a relationship rests on."""
        used = {at for _, relation in self._kept() for at in relation.evidence}
        return tuple(each for at, each in enumerate(self.evidence) if at in used)

    def bundle_relationships(self) -> tuple[BundleRelationship, ...]:
        """One relationship for each subject, predicate and object."""
        return tuple(
            BundleRelationship(
                subject=subject,
                predicate=predicate,
                object=other,
                evidence_ids=tuple(self.evidence[at].id for at in relation.evidence),
                source_papers=(self.article.paper_id,),
                confidence=relation.confidence,
                section=relation.section,
                asserted_by=ASSERTED_BY,
            )
            for (subject, predicate, other), relation in self._kept()
        )


def _synonyms(entity: _Entity) -> tuple[str, ...]:
    """How the paper writes the name, without repeating the name in another case."""
    known = {entity.entry.name.lower()}
    found: list[str] = []
    for surface in entity.surfaces:
        if surface.lower() not in known:
            known.add(surface.lower())
            found.append(surface)
    return tuple(found)

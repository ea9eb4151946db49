"""What a model says of a paper, checked against the paper: what is not in its text is refused and counted.

What belongs here: what is believed of an answer, and the bundle's entities, evidence and relationships made
of that. What does not: the answer's shape (`endpoint_schema`), and asking (`endpoint`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.bundles import (
    BundleEntity,
    BundleEvidence,
    BundleRelationship,
    Mention,
)
from ingest_assets.sources.papers.extraction.endpoint_schema import (
    SAME_AS,
    Answer,
    SaidEntity,
    SaidRelationship,
    known_class,
    known_predicate,
)
from ingest_assets.sources.papers.extraction.endpoint_text import FoldedText, fold

# By class and name, the ids that dictionaries give, by the fields of a bundle's entity.
IdsOf = Callable[[str, str], Mapping[str, str]]

ASSERTED_BY = "llm"
MAX_NAME = 300  # characters: longer ones are sentences
MAX_SYNONYMS = 20  # of one entity, from one answer
MAX_TERMS = 50  # of one entity, from all answers
MAX_MENTIONS = 2_000  # of one entity
MIN_QUOTE_WORDS, MAX_QUOTE = 3, 2_000
MAX_QUOTES = 3  # of one relationship, from one answer
_AUTHORITIES = {
    "mesh_id": "mesh",
    "umls_id": "umls",
    "hgnc_id": "hgnc",
    "rxnorm_id": "rxnorm",
    "loinc_code": "loinc",
    "uniprot_id": "uniprot",
}


class Reason(StrEnum):
    """Why something that a model said is refused."""

    PAPER_ID = "the id of another paper"
    UNKNOWN_CLASS = "an entity of an unknown class"
    UNKNOWN_PREDICATE = "a relationship of an unknown kind"
    NOT_MENTIONED = "an entity that the text does not mention"
    NAME = "a name that the text does not have, of an entity that it mentions by another"
    SYNONYM = "a synonym that the text does not have"
    MADE_UP_ID = "an identifier that no dictionary confirms"
    REPEATED = "an entity with the id of another"
    NO_ENTITY = "a relationship of an entity that is not there"
    WITH_ITSELF = "an entity that is the same as itself"
    CONFIDENCE = "a confidence outside 0 to 1"
    QUOTE = "a quote that the text does not have"
    ABOUT_NEITHER = "a quote that names neither entity"
    NO_EVIDENCE = "a relationship without evidence"


class Refused(Counter[str]):
    """How many statements were refused, by reason."""

    def notes(self) -> tuple[str, ...]:
        """A line for each reason, in alphabetical order."""
        return tuple(f"Refused: {reason}: {self[reason]}" for reason in sorted(self) if self[reason])


def no_ids(_entity_class: str, _name: str) -> Mapping[str, str]:
    """Those of a dictionary without an entry."""
    return {}


@dataclass(eq=False)  # two with the same words are two
class _Entity:
    entity_class: str
    name: str
    terms: dict[str, str]  # by folded form: the name and the synonyms, as the model spells them


@dataclass(eq=False)
class _Claim:
    subject: _Entity
    predicate: str
    object: _Entity
    confidence: float
    quotes: list[tuple[int, int, int]]  # section, start, end


class Findings:
    """What is believed of the answers about one paper."""

    def __init__(self, article: Article, ids_of: IdsOf = no_ids) -> None:
        self._article = article
        self._ids_of = ids_of
        self._texts = [FoldedText(section.text) for section in article.sections]
        self._entities: list[_Entity] = []
        self._by_name: dict[tuple[str, str], _Entity] = {}  # by class and folded name
        self._by_term: dict[tuple[str, str], _Entity] = {}  # by class and folded name or synonym
        self._of_answer: list[_Entity] = []
        self._claims: list[_Claim] = []
        self._spans: dict[str, list[tuple[int, int, int]]] = {}  # of folded terms
        self.refused = Refused()

    @property
    def is_all_refused(self) -> bool:
        """Whether entities were named, and the text has none of them."""
        return bool(self.refused) and not self._entities

    def add(self, answer: Answer) -> None:
        """Believe what the paper's text bears out. Answers are added in the order of their parts."""
        if answer.paper_id.strip() != self._article.paper_id:
            self._refuse(Reason.PAPER_ID)
        named: dict[str, _Entity | None] = {}
        self._of_answer = []
        for said in answer.entities:
            if said.id in named:
                # Nobody can tell which of them a relationship means.
                self._refuse(Reason.REPEATED)
                named[said.id] = None
                continue
            named[said.id] = self._believed(said)
        for claim in answer.relationships:
            self._consider(claim, named)

    # --- Entities -------------------------------------------------------------------------------------------

    def _believed(self, said: SaidEntity) -> _Entity | None:
        if not known_class(said.entity_class):
            self._refuse(Reason.UNKNOWN_CLASS)
            return None
        name = said.name if self._mentioned(said.name) else ""
        synonyms = [each for each in said.synonyms[:MAX_SYNONYMS] if self._mentioned(each)]
        self._refuse(Reason.SYNONYM, len(said.synonyms) - len(synonyms))
        if not name and not synonyms:
            self._refuse(Reason.NOT_MENTIONED)
            return None
        if not name:
            self._refuse(Reason.NAME)
            name = max(synonyms, key=lambda each: (len(each), each))
        entity = self._merged(said.entity_class, " ".join(name.split()), synonyms)
        if said.canonical_id:
            self._consider_id(said.canonical_id, entity)
        return entity

    def _merged(self, entity_class: str, name: str, synonyms: list[str]) -> _Entity:
        """The entity of this class that is known by one of the terms, or a new one."""
        terms = {fold(each): " ".join(each.split()) for each in (name, *synonyms)}
        found = self._known(entity_class, fold(name), terms)
        if found is None:
            found = _Entity(entity_class, name, {})
            self._entities.append(found)
            self._by_name[entity_class, fold(name)] = found
        self._of_answer.append(found)
        for term, spelt in list(terms.items())[: max(0, MAX_TERMS - len(found.terms))]:
            found.terms.setdefault(term, spelt)
            self._by_term.setdefault((entity_class, term), found)
        return found

    def _known(self, entity_class: str, name: str, terms: Iterable[str]) -> _Entity | None:
        """An entity that an earlier part named, or this one by the same name.

        Two entities of one answer are two, though one is called by the other's name: the model saw both.
        """
        if same := self._by_name.get((entity_class, name)):
            return same
        others = (
            self._by_term.get((entity_class, name)),
            *(self._by_name.get((entity_class, t)) for t in terms),
        )
        return next((each for each in others if each is not None and each not in self._of_answer), None)

    def _consider_id(self, given: str, entity: _Entity) -> None:
        """Dictionaries say the ids of a name; what a model says besides is not believed, and counted."""
        ids = self._ids_of(entity.entity_class, entity.name)
        if "".join(given.split()).lower() not in {_spelt(*each) for each in ids.items()}:
            self._refuse(Reason.MADE_UP_ID)

    def _mentioned(self, term: str) -> bool:
        return bool(term.strip()) and len(term) <= MAX_NAME and bool(self._places(term))

    def _places(self, term: str) -> list[tuple[int, int, int]]:
        """(section, start, end) of each place where a term stands."""
        key = " ".join(term.split())  # not folded: the capitals of short names count
        if key not in self._spans:
            self._spans[key] = [
                (number, start, end)
                for number, text in enumerate(self._texts)
                for start, end in text.find_all(key)
            ]
        return self._spans[key]

    def _mentions(self, entity: _Entity) -> list[tuple[int, int, int]]:
        """Where the entity's terms stand, in order, the longest of several at one place."""
        spans = sorted(
            {span for term in entity.terms.values() for span in self._places(term)},
            key=lambda span: (span[0], span[1], -span[2]),
        )
        kept: list[tuple[int, int, int]] = []
        for span in spans:
            if not kept or kept[-1][0] != span[0] or kept[-1][2] <= span[1]:
                kept.append(span)
        return kept[:MAX_MENTIONS]

    # --- Relationships --------------------------------------------------------------------------------------

    def _consider(self, said: SaidRelationship, named: dict[str, _Entity | None]) -> None:
        subject, other = named.get(said.subject), named.get(said.object)
        if subject is None or other is None:
            self._refuse(Reason.NO_ENTITY)
        elif not known_predicate(said.predicate):
            self._refuse(Reason.UNKNOWN_PREDICATE)
        elif not 0 <= said.confidence <= 1:
            self._refuse(Reason.CONFIDENCE)
        elif said.predicate == SAME_AS and subject is other:
            self._refuse(Reason.WITH_ITSELF)
        elif quotes := self._quotes(said.quotes, (subject, other)):
            self._claims.append(_Claim(subject, said.predicate, other, said.confidence, quotes))
        else:
            self._refuse(Reason.NO_EVIDENCE)

    def _quotes(self, quotes: list[str], about: tuple[_Entity, _Entity]) -> list[tuple[int, int, int]]:
        found = []
        for quote in quotes[:MAX_QUOTES]:
            place = self._place_of_quote(quote)
            if place is None:
                self._refuse(Reason.QUOTE)
            elif not any(self._named_in(place, entity) for entity in about):
                self._refuse(Reason.ABOUT_NEITHER)
            else:
                found.append(place)
        self._refuse(Reason.QUOTE, max(0, len(quotes) - MAX_QUOTES))
        return found

    def _named_in(self, place: tuple[int, int, int], entity: _Entity) -> bool:
        number, start, end = place
        for term in entity.terms.values():
            spans = self._places(term)
            at = bisect_left(spans, (number, start, 0))
            if at < len(spans) and spans[at][0] == number and spans[at][2] <= end:
                return True
        return False

    def _place_of_quote(self, quote: str) -> tuple[int, int, int] | None:
        if len(quote) > MAX_QUOTE or len(quote.split()) < MIN_QUOTE_WORDS:
            return None
        for number, text in enumerate(self._texts):
            if place := text.find(quote):
                return (number, *place)
        return None

    # --- The bundle -----------------------------------------------------------------------------------------

    def bundle_parts(
        self,
    ) -> tuple[tuple[BundleEntity, ...], tuple[BundleEvidence, ...], tuple[BundleRelationship, ...]]:
        """Entities, evidence and relationships, whose ids refer to each other."""
        ids = {id(each): f"{each.entity_class}-{number}" for number, each in enumerate(self._entities, 1)}
        joined: dict[tuple[str, str, str], _Claim] = {}
        for claim in self._claims:
            if claim.predicate == SAME_AS and claim.subject is claim.object:
                continue
            key = (ids[id(claim.subject)], claim.predicate, ids[id(claim.object)])
            before = joined.get(key)
            quotes = [] if before is None else before.quotes
            joined[key] = _Claim(
                claim.subject, claim.predicate, claim.object,
                max(claim.confidence, 0.0 if before is None else before.confidence),
                list(dict.fromkeys([*quotes, *claim.quotes])),
            )  # fmt: skip
        evidence = self._evidence(joined.values())
        relationships = tuple(
            BundleRelationship(
                subject=subject,
                predicate=predicate,
                object=other,
                evidence_ids=tuple(evidence[quote].id for quote in claim.quotes),
                source_papers=(self._article.paper_id,),
                confidence=claim.confidence,
                section=self._article.sections[claim.quotes[0][0]].id,
                asserted_by=ASSERTED_BY,
            )
            for (subject, predicate, other), claim in joined.items()
        )
        entities = tuple(self._bundle_entity(each, ids[id(each)]) for each in self._entities)
        return entities, tuple(evidence.values()), relationships

    def _evidence(self, claims: Iterable[_Claim]) -> dict[tuple[int, int, int], BundleEvidence]:
        sure: dict[tuple[int, int, int], float] = {}
        for claim in claims:
            for quote in claim.quotes:
                sure[quote] = max(claim.confidence, sure.get(quote, 0.0))
        return {place: self._one_evidence(place, sure[place]) for place in sorted(sure)}

    def _one_evidence(self, place: tuple[int, int, int], confidence: float) -> BundleEvidence:
        number, start, end = place
        section = self._article.sections[number]
        return BundleEvidence(
            id=f"{self._article.paper_id}:{section.id}:{start}-{end}:{ASSERTED_BY}",
            paper_id=self._article.paper_id,
            text_span_id=f"{section.id}:{start}-{end}",
            text=section.text[start:end],
            confidence=confidence,
            extraction_method=ASSERTED_BY,
            study_type=self._article.study_type or None,
            section=section.id,
            start_offset=start,
            end_offset=end,
        )

    def _bundle_entity(self, entity: _Entity, entity_id: str) -> BundleEntity:
        sections = self._article.sections
        return BundleEntity(
            id=entity_id,
            entity_class=entity.entity_class,
            name=entity.name,
            synonyms=tuple(sorted(set(entity.terms.values()) - {entity.name})),
            mentions=tuple(
                Mention(
                    section=sections[number].id,
                    start_offset=start,
                    end_offset=end,
                    text=sections[number].text[start:end],
                )
                for number, start, end in self._mentions(entity)
            ),
            **self._ids_of(entity.entity_class, entity.name),
        )

    def _refuse(self, reason: Reason, count: int = 1) -> None:
        if count:
            self.refused[reason.value] += count


def _spelt(field: str, value: str) -> str:
    """An id of a bundle's entity with its authority: "mesh:d000224"."""
    return (value if ":" in value or field not in _AUTHORITIES else f"{_AUTHORITIES[field]}:{value}").lower()

"""Which authors of papers may be people that other sources know, and why. Shown, and never merged.

An author and a person's record are compared as two records of one source are: by the blocks that they share,
with that source's own model. So a weight means here what it means there, in bits: the prior odds that two
records are one person, and what the e-mail address, the name and the organisation add to them. Of an
affiliation, the part that is the name of the person's organisation counts, if any is. A name alone is never
a link, however rare.

What belongs here: finding candidates, and weighing them. What does not: how records are compared
(`entities`), and resolving the people of a source (`stages.resolution`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field

from ingest_assets.entities import Features, MatchModel, block_keys, default_model, score
from ingest_assets.ledger import Ledger, graph_tables, tables
from ingest_assets.ledger.store import batched
from ingest_assets.model import ConfigurationError, RequestError
from ingest_assets.sources.papers.graph.answers import Answer, PaperText
from ingest_assets.sources.papers.graph.authors import Author, authors_of, keys_of
from ingest_assets.sources.papers.graph.lookup import MAX_SHOWN
from ingest_assets.sources.papers.graph.pages import clip, storable
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.stages.resolution.match_rows import MatchRows, block_number
from ingest_assets.stages.successors import living_id

MAX_LINKS = 100  # of one answer
RECORDS = 2_000  # of people that one answer compares
_BOUND = 5_000  # values per query
_MAX_BITS = 1_000.0

_file, _author_block = graph_tables.paper_file, graph_tables.paper_author_block
_document, _member = tables.document, tables.entity_member


Sees = Callable[[str], bool]  # whether whoever asks may see the people of a source


def _everything(_source: str) -> bool:
    return True


class AuthorLink(BaseModel):
    """An author of a paper who may be a person of another source."""

    paper_id: str
    author: PaperText
    author_number: int = Field(description="The author's place in the paper's list, from 0.")
    source: str
    entity_id: str
    person: PaperText = Field(description="As the record that is most like the author has it.")
    document_id: str = Field(description="That record.")
    weight: float = Field(description="In bits: 10 bits mean that it is 1,000 times likelier than not.")
    probability: float = Field(description="The same, from 0 to 1.")
    because: list[str] = Field(description='"email", "name", "organisation".')


class AuthorLinks(Answer):
    links: list[AuthorLink] = Field(description="The likeliest first. None of them is merged.")
    cut: bool = Field(description="Whether there are more, or more that were not compared.")


@dataclass(frozen=True, slots=True)
class _Person:
    """A record of a person in a source that resolves people."""

    source: str
    document_id: str
    entity_id: str
    name: str
    features: Features


def names_a_paper(ledger: Ledger, asked: str) -> bool:
    """Whether there is a paper with this id."""
    with ledger.reading() as connection:
        return _facts(connection, [asked]) != {}


def _is_known(connection: sa.Connection, paper_id: str) -> bool:
    """Whether there is a bundle of it: it says no more of authors than their names."""
    bundle = graph_tables.paper_bundle
    return connection.scalar(sa.select(bundle.c.paper_id).filter_by(paper_id=paper_id)) is not None


def links_of(ledger: Ledger, asked: str, *, limit: int, sees: Sees = _everything) -> AuthorLinks:
    """Of a paper or of a person, whichever the id names."""
    of = links_of_paper if names_a_paper(ledger, asked) else links_of_person
    return of(ledger, asked, limit=limit, sees=sees)


def links_of_paper(
    ledger: Ledger, paper_id: str, *, limit: int = 20, sees: Sees = _everything
) -> AuthorLinks:
    """The people that a paper's authors may be. Raises RequestError if there is no such paper."""
    _require_limit(limit)
    with ledger.reading() as connection:
        facts = _facts(connection, [paper_id])
        if not facts and not _is_known(connection, paper_id):
            raise RequestError(f"There is no paper {paper_id!r}. `ingest paper list` lists those there are.")
        authors = authors_of(paper_id, facts.get(paper_id, {}))
        found: list[AuthorLink] = []
        cut = False
        for source in filter(sees, sources_with_people(connection)):
            people, more = _people_like(connection, source, authors)
            found += _links(connection, source, authors, people)
            cut |= more
    return _answer(found, limit, cut=cut)


def links_of_person(ledger: Ledger, asked: str, *, limit: int = 20, sees: Sees = _everything) -> AuthorLinks:
    """The authors of papers that a person may be: by the id of an entity, an earlier id, or a record's.

    Raises RequestError if no source knows such a person.
    """
    _require_limit(limit)
    with ledger.reading() as connection:
        found: list[AuthorLink] = []
        known = cut = False
        for source in filter(sees, sources_with_people(connection)):
            people = _people(connection, source, _records_of(connection, source, asked))
            known |= bool(people)
            authors, more = _authors_like(connection, source, people)
            found += _links(connection, source, authors, people)
            cut |= more
    if not known:
        raise RequestError(
            f"There is no paper, and no person or record of one, {asked!r}. `ingest entity search NAME` "
            "finds a person, `ingest paper list` lists the papers."
        )
    return _answer(found, limit, cut=cut)


def sources_with_people(connection: sa.Connection) -> list[str]:
    """The sources that resolved people or organisations; each costs one look-up."""
    found: list[str] = []
    query = sa.select(sa.func.min(_member.c.source))
    source = connection.scalar(query)
    while source is not None:
        found.append(source)
        source = connection.scalar(query.where(_member.c.source > source))
    return found


def _people_like(
    connection: sa.Connection, source: str, authors: Sequence[Author]
) -> tuple[list[_Person], bool]:
    """People who share a block with one of the authors, and whether some were left out."""
    rows = MatchRows(source, connection)
    keys = {key for author in authors for key in keys_of(author)}
    usable = {block_number(key) for key in keys - rows.cut(keys).keys()}
    ids = sorted(rows.members(usable))
    return _people(connection, source, ids[:RECORDS]), len(ids) > RECORDS


def _people(connection: sa.Connection, source: str, ids: Sequence[str]) -> list[_Person]:
    features = {
        i: each for i, each in MatchRows(source, connection).features(ids).items() if each.kind == "person"
    }
    here = sa.and_(_document.c.source == _member.c.source, _document.c.document_id == _member.c.document_id)
    query = sa.select(_member.c.document_id, _member.c.entity_id, _document.c.title).join(_document, here)
    return [
        _Person(source, row.document_id, row.entity_id, row.title, features[row.document_id])
        for part in batched(sorted(features), _BOUND)
        for row in connection.execute(
            query.where(_member.c.source == source, _member.c.document_id.in_(part))
        )
    ]


def _records_of(connection: sa.Connection, source: str, asked: str) -> list[str]:
    """The records of an entity; of a record's entity, if a record is asked for."""
    if not storable(asked):
        return []
    of_record = sa.select(_member.c.entity_id).filter_by(source=source, document_id=asked)
    entity_id = connection.scalar(of_record) or living_id(connection, source, asked)
    query = sa.select(_member.c.document_id).filter_by(source=source, entity_id=entity_id)
    return list(connection.scalars(query.order_by(_member.c.document_id).limit(RECORDS)))


def _authors_like(
    connection: sa.Connection, source: str, people: Sequence[_Person]
) -> tuple[list[Author], bool]:
    """Authors who share a block with one of the records, and whether some were left out."""
    keys = {key for person in people for key in block_keys(person.features)}
    usable = {block_number(key) for key in keys - MatchRows(source, connection).cut(keys).keys()}
    columns = (_author_block.c.paper_id, _author_block.c.author)
    query = sa.select(*columns).distinct().order_by(*columns)
    pairs: set[tuple[str, int]] = set()
    for part in batched(sorted(usable), _BOUND):
        rows = connection.execute(query.where(_author_block.c.block.in_(part)).limit(RECORDS + 1))
        pairs.update((row.paper_id, row.author) for row in rows)
    wanted = sorted(pairs)[:RECORDS]
    facts = _facts(connection, sorted({paper for paper, _ in wanted}))
    authors = {
        (each.paper_id, each.number): each for paper in facts for each in authors_of(paper, facts[paper])
    }
    return [authors[pair] for pair in wanted if pair in authors], len(pairs) > RECORDS


def _facts(connection: sa.Connection, papers: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What is known of papers, by the file of each that is read (`papers.read_file`)."""
    found: dict[str, Mapping[str, Any]] = {}
    query = sa.select(_file.c.paper_id, _file.c.facts).where(_file.c.article.is_not(None))
    for part in batched(filter(storable, papers), _BOUND):
        for row in connection.execute(query.where(_file.c.paper_id.in_(part)).order_by(_file.c.rank)):
            if row.paper_id not in found:
                found[row.paper_id] = json.loads(row.facts)
    return found


def _links(
    connection: sa.Connection, source: str, authors: Sequence[Author], people: Sequence[_Person]
) -> list[AuthorLink]:
    """The pairs that the source's model would join, each with the weight of the best comparison."""
    if not authors or not people:
        return []
    model = _model(connection, source)
    records = {f"r {person.document_id}": person for person in people}
    variants = dict(_variants(authors, people))
    compared = [*(replace(person.features, id=key) for key, person in records.items()), *_features(variants)]
    keys = {key for each in compared for key in block_keys(each)}
    cut = MatchRows(source, connection).cut(keys)
    scored = score(model, compared, touched=set(variants), cut=set(cut), least=model.join_at)
    best: dict[tuple[str, int, str], AuthorLink] = {}
    for left, right, weight in scored.pairs:
        person = records.get(left) or records.get(right)
        variant = variants.get(left) or variants.get(right)
        if person is not None and variant is not None:
            link = _link(*variant, person, weight)
            place = (link.paper_id, link.author_number, link.entity_id)
            if _is_enough(link) and (place not in best or best[place].weight < weight):
                best[place] = link
    return list(best.values())


def _is_enough(link: AuthorLink) -> bool:
    return "email" in link.because or {"name", "organisation"} <= set(link.because)


def _model(connection: sa.Connection, source: str) -> MatchModel:
    try:
        return models_in_use(connection, source).get("person") or default_model("person")
    except ConfigurationError:  # of another version: until it is trained again
        return default_model("person")


def _variants(
    authors: Sequence[Author], people: Sequence[_Person]
) -> Iterator[tuple[str, tuple[Author, Features]]]:
    """Each author with each organisation that is one of the people's too, and with none."""
    known = {person.features.organisation for person in people}
    for number, author in enumerate(authors):
        for place, organisation in enumerate(["", *sorted(author.organisations & known)]):
            yield f"a {number} {place}", (author, author.features(organisation))


def _features(variants: Mapping[str, tuple[Author, Features]]) -> Iterator[Features]:
    return (replace(features, id=key) for key, (_, features) in variants.items())


def _link(author: Author, compared: Features, person: _Person, weight: float) -> AuthorLink:
    theirs = person.features
    shared = {
        "email": bool(set(compared.emails) & set(theirs.emails)),
        "name": bool(compared.family and compared.family == theirs.family),
        "organisation": bool(compared.organisation and compared.organisation == theirs.organisation),
    }
    return AuthorLink(
        paper_id=author.paper_id,
        author=clip(author.name, MAX_SHOWN),
        author_number=author.number,
        source=person.source,
        entity_id=person.entity_id,
        person=clip(person.name, MAX_SHOWN),
        document_id=person.document_id,
        weight=round(weight, 2),
        probability=round(probability_of(weight), 4),
        because=[name for name, is_shared in shared.items() if is_shared],
    )


def probability_of(weight: float) -> float:
    """The probability that a weight in bits stands for."""
    return 1 / (1 + 2 ** -max(-_MAX_BITS, min(_MAX_BITS, weight)))


def _answer(found: Sequence[AuthorLink], limit: int, *, cut: bool) -> AuthorLinks:
    ranked = sorted(
        found, key=lambda each: (-each.weight, each.paper_id, each.author_number, each.source, each.entity_id)
    )
    return AuthorLinks(links=ranked[:limit], cut=cut or len(ranked) > limit)


def _require_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LINKS:
        raise RequestError(f"1 to {MAX_LINKS} links are shown, not {limit}.")

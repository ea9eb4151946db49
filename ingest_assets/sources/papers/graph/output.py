"""What `ingest graph` prints: text for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ingest_assets.document_text import EXPLANATION, PLAIN
from ingest_assets.terminal import console_of, escape, print_json, table

if TYPE_CHECKING:
    from ingest_assets.sources.papers.graph.answers import (
        Asked,
        BundleInfo,
        EntityAnswer,
        EntityList,
        EntityRef,
        NeighbourList,
        Paper,
        PathAnswer,
        ReachedList,
        Statement,
        StatementList,
        Stats,
    )
    from ingest_assets.sources.papers.graph.author_links import AuthorLinks

SHOWN_CHARS = 400  # of a sentence


def entity(found: EntityAnswer, *, as_json: bool) -> None:
    """An entity in full."""
    if as_json:
        return print_json(plain(found))
    it = found.entity
    _line(f"[bold]{escape(it.name)}[/bold]  [dim]{escape(it.entity_class)} {escape(it.entity_id)}[/dim]")
    _gave_way(found)
    if found.provisional:
        _line("No authority has given it an id yet.")
    for label, values in (("Also called", found.synonyms), ("Earlier ids", found.earlier_ids)):
        if values:
            _line(f"{label}: {escape('; '.join(values))}")
    if found.url:
        _line(f"Page: {escape(found.url)}")
    _line(f"{_count(found.mentions, 'mention')}, in {_count(found.papers_count, 'paper')}")
    for paper in found.papers:
        _line(f"  {escape(_cited(paper))}")
    if found.statements:
        _line("\n[bold]What papers say of it[/bold], the surest first")
    return _statements(found.statements)


def entities(found: EntityList, *, as_json: bool) -> None:
    """The entities that a search found."""
    if as_json:
        return print_json(plain(found))
    if not found.entities:
        _line("No entity has a name like this.")
        return None
    rows = [
        [each.name, each.entity_class, str(each.papers_count), each.entity_id, "; ".join(each.synonyms)]
        for each in found.entities
    ]
    table(("name", "class", "papers", "id", "also called"), rows, right=False)
    if found.cut:
        _line("More names match than were compared: say more words of the name.")
    return _more(found.next_cursor)


def neighbours(found: NeighbourList, *, as_json: bool) -> None:
    """The entities that papers relate to one."""
    if as_json:
        return print_json(plain(found))
    _gave_way(found)
    if not found.neighbours:
        _line(f"No paper says anything like this of {escape(found.entity.name)}.")
    _statements([each.statement for each in found.neighbours])
    return _more(found.next_cursor)


def relationships(found: StatementList, *, as_json: bool) -> None:
    """Statements."""
    if as_json:
        return print_json(plain(found))
    for each in (found.subject, found.object):
        if each is not None:
            _gave_way(each)
    if not found.statements:
        _line("No paper says anything like this.")
    _statements(found.statements)
    _cut(found.cut)
    return _more(found.next_cursor)


def reached(found: ReachedList, *, as_json: bool) -> None:
    """The entities within a few hops."""
    if as_json:
        return print_json(plain(found))
    _gave_way(found)
    _line(f"Entities within reach of {escape(found.entity.name)}: {found.count:,}")
    if found.reached:
        rows = [
            [
                str(each.hops),
                each.entity.name,
                each.entity.entity_class,
                _sentence(each.by),
                each.entity.entity_id,
            ]
            for each in found.reached
        ]
        table(("hops", "name", "class", "by", "id"), rows, right=False)
    _cut(found.cut)
    return _more(found.next_cursor)


def path(found: PathAnswer, *, as_json: bool) -> None:
    """The chain of statements between two entities."""
    if as_json:
        return print_json(plain(found))
    _gave_way(found.start)
    _gave_way(found.end)
    names = f"{escape(found.start.entity.name)} and {escape(found.end.entity.name)}"
    if found.hops is None:
        _line(f"Nothing that papers say connects {names} within these bounds.")
    elif found.hops == 0:
        _line(f"{names} are one entity.")
    else:
        _line(
            f"{found.hops} statements connect {names}:"
            if found.hops > 1
            else f"One statement connects {names}:"
        )
    _statements(found.steps)
    return _cut(found.cut)


def stats(found: Stats, bundle: BundleInfo, *, as_json: bool) -> None:
    """The size of the graph."""
    if as_json:
        return print_json({**plain(found), "bundle": plain(bundle)})
    _line(f"Bundle {escape(found.bundle_id)}" + (f", {escape(bundle.label)}" if bundle.label else ""))
    sizes = ("papers", "entities", "provisional", "relationships", "mentions", "evidence")
    table(("", "count"), [[name, f"{getattr(found, name):,}"] for name in sizes])
    for title, counts in (("class", found.classes), ("predicate", found.predicates)):
        if counts:
            _line("")
            table((title, "count"), [[name, f"{count:,}"] for name, count in counts.items()])
    return None


def links(found: AuthorLinks, *, as_json: bool) -> None:
    """Authors of papers who may be people of other sources."""
    if as_json:
        return print_json(plain(found))
    if not found.links:
        _line("No author is like a person of another source.")
        return None
    rows = [
        [
            each.author,
            each.paper_id,
            each.person,
            each.entity_id,
            f"{each.weight:+.1f}",
            f"{each.probability:.1%}",
            ", ".join(each.because),
        ]
        for each in found.links
    ]
    table(("author", "paper", "may be", "entity", "bits", "probability", "because of"), rows, right=False)
    _line("[dim]Nothing is merged: these are links to judge. 10 bits mean 1,000 to 1.[/dim]")
    if found.cut:
        _line("There are more: only the strongest are shown.")
    return None


def plain(answer: BaseModel) -> dict[str, Any]:
    """An answer as JSON has it. Text of papers is not marked, as it is for agents."""
    return answer.model_dump(mode="json", context=PLAIN, exclude={EXPLANATION})


def _statements(statements: Iterable[Statement]) -> None:
    for each in statements:
        _line(
            f"{_bold(each.subject)} {escape(each.predicate)} {_bold(each.object)}  "
            f"[dim]confidence {each.confidence:.2f}, {_count(each.papers_count, 'paper')}[/dim]"
        )
        for sentence in each.evidence:
            where = f", {sentence.section}" if sentence.section else ""
            _line(f"  “{escape(_quoted(sentence.text))}”")
            _line(f"  [dim]{escape(_cited(sentence.paper) + where)}[/dim]")


def _quoted(text: str) -> str:
    """On one line, and not for ever: a table is one sentence. JSON has all of it."""
    return shorten(text, SHOWN_CHARS, placeholder=" …")


def _bold(entity: EntityRef) -> str:
    return f"[bold]{escape(entity.name)}[/bold]"


def _sentence(statement: Statement) -> str:
    return f"{statement.subject.name} {statement.predicate} {statement.object.name}"


def _cited(paper: Paper) -> str:
    parts = [paper.paper_id, paper.title, str(paper.year or "")]
    cited = ", ".join(filter(None, parts))
    if paper.retraction_said_by:
        return f"{cited} (RETRACTED, says {paper.retraction_said_by})"
    return f"{cited} (RETRACTED)" if paper.retracted else cited


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _gave_way(found: Asked) -> None:
    if found.gave_way:
        _line(f"{escape(found.asked)} is an earlier id of {escape(found.entity.entity_id)}.")


def _cut(cut: str) -> None:
    if cut:
        _line(f"Not all was looked at. {escape(cut)}")


def _more(cursor: str | None) -> None:
    if cursor:
        _line(f"[dim]More: the same command with --cursor {escape(cursor)}[/dim]")


def _line(text: str) -> None:
    console_of().print(text, soft_wrap=True)

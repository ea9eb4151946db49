"""How well and how fast the papers' offline extractor finds drugs, diseases and genes.

Compared with titles and abstracts that people read and annotated: `ingest_assets_tests/sources/papers/gold`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.bundles import Bundle

GOLD = Path(__file__).parent.parent / "ingest_assets_tests" / "sources" / "papers" / "gold"
CLASSES = ("Drug", "Disease", "Gene")


class Span(NamedTuple):
    """A mention: of a class, at a place of a section of a paper."""

    paper: str
    section: str
    start: int
    end: int
    entity_class: str


def measure(_documents: int, _seed: int, repeat: int) -> dict[str, Any]:
    """Precision and recall by class, on the half that the rules were tuned on and on the other; and times."""
    from ingest_assets.sources.papers.extraction.dictionaries import load
    from ingest_assets.sources.papers.extraction.rules import RulesExtractor

    started = time.perf_counter()
    load()
    extractor = RulesExtractor()
    loading = time.perf_counter() - started
    papers = list(gold())
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        bundles = [extractor.extract(article) for article, _, _ in papers]
        times.append(time.perf_counter() - started)
    figures: dict[str, Any] = {
        "extractor": extractor.identity,
        "papers": len(papers),
        "loading_seconds": round(loading, 3),
        "seconds": round(statistics.median(times), 3),
    }
    for part in ("tuning", "held-out"):
        chosen = [at for at, paper in enumerate(papers) if paper[2] == part]
        expected = {span for at in chosen for span in papers[at][1]}
        found = {span for at in chosen for span in spans(bundles[at], papers[at][0])}
        figures[part] = scores(expected, found)
    return figures


def gold(folder: Path = GOLD) -> Iterator[tuple[Article, set[Span], str]]:
    """The annotated papers: title and abstract, the mentions in them, and the half they belong to."""
    for path in sorted(folder.glob("*.json")):
        paper = json.loads(path.read_text(encoding="utf-8"))
        sections = tuple(
            Section(
                id=each["id"],
                kind="title" if each["id"] == "title" else "abstract",
                path=(each["id"].capitalize(),),
                text=each["text"],
            )
            for each in paper["sections"]
        )
        expected = {
            Span(paper["pmcid"], each["id"], mention["start"], mention["end"], mention["class"])
            for each in paper["sections"]
            for mention in each["mentions"]
        }
        article = Article(
            paper_id=paper["pmcid"], pmcid=paper["pmcid"], title=paper["title"], sections=sections
        )
        yield article, expected, paper["set"]


def spans(bundle: Bundle, article: Article) -> Iterator[Span]:
    """The mentions of a bundle."""
    for entity in bundle.entities:
        for mention in entity.mentions:
            yield Span(
                article.paper_id,
                mention.section,
                mention.start_offset,
                mention.end_offset,
                entity.entity_class,
            )


def scores(expected: set[Span], found: set[Span]) -> dict[str, dict[str, float]]:
    """By class, and over all: precision and recall of exact places, and of places that overlap."""
    by_class = {
        name: _score(
            {span for span in expected if span.entity_class == name},
            {span for span in found if span.entity_class == name},
        )
        for name in CLASSES
    }
    return {**by_class, "all": _score(expected, found)}


def _score(expected: set[Span], found: set[Span]) -> dict[str, float]:
    exact = len(expected & found)
    return {
        "expected": len(expected),
        "found": len(found),
        "precision": _share(exact, len(found)),
        "recall": _share(exact, len(expected)),
        "precision_overlapping": _share(_overlapping(found, expected), len(found)),
        "recall_overlapping": _share(_overlapping(expected, found), len(expected)),
    }


def _overlapping(some: Iterable[Span], others: set[Span]) -> int:
    return sum(
        any(
            span[:2] == other[:2]
            and span.entity_class == other.entity_class
            and span.start < other.end
            and other.start < span.end
            for other in others
        )
        for span in some
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole else 1.0

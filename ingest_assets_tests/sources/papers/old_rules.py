"""What the old scripts counted, by their rules and in our words: to compare with, not to be right.

The rules are those of pass 2 and pass 3 at the commit that made the numbers which are published of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
MERGING = 0.85
ID_FIELDS = ("canonical_id", "umls_id", "hgnc_id", "rxnorm_id", "uniprot_id")


@dataclass
class OldGraph:
    """The rows that count. An entity's id is its authority's as it is written, or "new" and a number."""

    entity_of: dict[tuple[str, str], str] = field(default_factory=dict)  # (paper, id in its bundle)
    members: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict
    )  # (paper, id): class and name
    relationships: set[tuple[str, str, str]] = field(default_factory=set)
    mentions: list[tuple[str, str, str]] = field(default_factory=list)  # entity, paper, evidence
    # relationship, paper, evidence
    evidence: list[tuple[tuple[str, str, str], str, str]] = field(default_factory=list)

    @property
    def merged(self) -> set[str]:
        return set(self.entity_of.values())

    @property
    def canonical(self) -> set[str]:
        return {each for each in self.merged if looks_authoritative(each)}

    @property
    def entities(self) -> set[str]:
        """Those of the bundle: what no relationship speaks of is left out."""
        return {end for subject, _, target in self.relationships for end in (subject, target)}


def old_papers(folder: Path, *, believe_models: bool = True) -> list[tuple[str, Json]]:
    """The bundles by file name, each with its paper's id: the one that the model wrote, if it wrote one."""
    papers = []
    for path in sorted(folder.glob("paper_*.json")):
        bundle = json.loads(path.read_text("utf-8"))
        named = path.stem.removeprefix("paper_")
        papers.append(((bundle["paper"]["pmcid"] or named) if believe_models else named, bundle))
    return papers


def old_graph(papers: list[tuple[str, Json]]) -> OldGraph:
    """Merge and count. If papers share an id, what the first calls "E1" is the "E1" of the others too."""
    graph, by_name = OldGraph(), dict[tuple[str, str], str]()
    for paper, bundle in papers:
        for entity in bundle["entities"]:
            place, named = (paper, entity["id"]), (entity["name"].lower(), entity["class"])
            if place in graph.entity_of:
                continue
            found = _authoritative(entity) or by_name.get(named) or f"new {len(graph.entity_of)}"
            graph.entity_of[place] = by_name[named] = found
            graph.members[place] = entity["class"], entity["name"]
    _merge_same_as(graph, papers)
    for paper, bundle in papers:
        for said in bundle["relationships"]:
            ends = _ends(graph, paper, said)
            if ends and not (said["predicate"] == "SAME_AS" and said["confidence"] >= MERGING):
                graph.relationships.add(ends)
    _count_rows(graph, papers)
    return graph


def _merge_same_as(graph: OldGraph, papers: list[tuple[str, Json]]) -> None:
    for paper, bundle in papers:
        for said in bundle["relationships"]:
            ends = _ends(graph, paper, said)
            if (
                said["predicate"] == "SAME_AS"
                and said["confidence"] >= MERGING
                and ends
                and ends[0] != ends[2]
            ):
                winner, loser = ends[0], ends[2]
                if looks_authoritative(loser) and not looks_authoritative(winner):
                    winner, loser = loser, winner
                for place, entity in graph.entity_of.items():
                    if entity == loser:
                        graph.entity_of[place] = winner


def _count_rows(graph: OldGraph, papers: list[tuple[str, Json]]) -> None:
    for paper, bundle in papers:
        known = {each["id"] for each in bundle["evidence_entities"]}
        for said in bundle["relationships"]:
            for evidence in said["evidence_ids"]:
                if evidence not in known:
                    continue
                for end in (said["subject"], said["object"]):
                    if (entity := graph.entity_of.get((paper, end))) is not None:
                        graph.mentions.append((entity, paper, evidence))
                ends = _ends(graph, paper, said)
                if ends in graph.relationships:
                    graph.evidence.append((ends, paper, evidence))


def _ends(graph: OldGraph, paper: str, said: Json) -> tuple[str, str, str] | None:
    subject, target = (graph.entity_of.get((paper, said[end])) for end in ("subject", "object"))
    return (subject, said["predicate"], target) if subject and target else None


def _authoritative(entity: Json) -> str | None:
    values = (entity.get(name) for name in ID_FIELDS)
    return next((each.strip() for each in values if each and looks_authoritative(each)), None)


def looks_authoritative(text: str) -> bool:
    """By its looks, whoever gave it out: a bare number is as good as any."""
    text = text.strip()
    if text.startswith(("MeSH:", "HGNC:", "RxNorm:", "UniProt:", "DBPedia:")) or text.isdigit():
        return True
    if text[:1] in {"C", "D"} and text[1:].isdigit():
        return True
    return text[:1] in {"P", "Q"} and len(text) >= 6 and text[1:].isalnum()

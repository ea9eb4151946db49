"""Small bundles for tests, from few words."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ingest_assets.sources.papers.bundles import (
    Bundle,
    BundleEntity,
    BundleEvidence,
    BundlePaper,
    BundleRelationship,
    Mention,
)
from ingest_assets.sources.papers.merging.decisions import Decision, Decisions, reference
from ingest_assets.sources.papers.merging.graph_bundle import KINDS, MANIFEST, file_of
from ingest_assets.sources.papers.merging.merged_files import NAMES
from ingest_assets.sources.papers.workspace import Workspace

Papers = dict[str, Bundle]
# Few, so that they meet: one name in two classes, ids of several authorities, and what folds to the same.
ENTITY_NAMES = ["Cortisol", "cortisol", "AI", "Adrenal insufficiency", "warfarin"]
ENTITY_CLASSES = ["Drug", "Disease", "Gene"]
IDS = [
    ("mesh_id", "D000001"),
    ("mesh_id", "D000002"),
    ("umls_id", "C0000001"),
    ("umls_id", "C0000002"),
    ("rxnorm_id", "11"),
    ("rxnorm_id", "12"),
    ("hgnc_id", "HGNC:abc"),
]


def entity(local: str, name: str, entity_class: str = "Drug", **more: Any) -> BundleEntity:
    return BundleEntity(id=local, entity_class=entity_class, name=name, **more)


def says(
    subject: str, predicate: str, target: str, confidence: float = 0.9, **more: Any
) -> BundleRelationship:
    return BundleRelationship(
        subject=subject, predicate=predicate, object=target, confidence=confidence, asserted_by="llm", **more
    )


def sentence(local: str, text: str, **more: Any) -> BundleEvidence:
    return BundleEvidence(
        id=local, paper_id="paper_1", text=text, confidence=0.9, extraction_method="llm", **more
    )


def bundle(
    entities: Sequence[BundleEntity],
    relationships: Sequence[BundleRelationship] = (),
    evidence: Sequence[BundleEvidence] = (),
    year: int | None = None,
) -> Bundle:
    return Bundle(
        paper=BundlePaper(title="A paper", year=year),
        entities=tuple(entities),
        relationships=tuple(relationships),
        evidence_entities=tuple(evidence),
    )


def decide(*lines: tuple[str, str, str]) -> Decisions:
    made = []
    for left, right, verdict in lines:
        found = reference(left), reference(right)
        assert found[0] is not None
        assert found[1] is not None
        made.append(Decision(found[0], found[1], verdict))  # type: ignore[arg-type]
    return Decisions(tuple(made))


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file can be larger than `limit` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def workspace(root: Path, papers: Papers) -> Workspace:
    from ingest_assets.sources.papers.merging.bundle_files import write_bundle

    made = Workspace(root)
    made.create()
    for paper, each in papers.items():
        write_bundle(made, paper, each)
    return made


def outputs(made: Workspace) -> dict[str, bytes]:
    """All files that passes 2 and 3 write."""
    paths = [made.merged / name for name in NAMES]
    paths += [made.graph / name for name in (MANIFEST, *map(file_of, KINDS))]
    return {str(path.relative_to(made.root)): path.read_bytes() for path in paths if path.exists()}


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """A bundle of up to five entities, and what it says of them."""
    entities = [draw(_entities(f"E{number}")) for number in range(draw(st.integers(1, 5)))]
    ends = st.sampled_from([each.id for each in entities])
    said = st.builds(
        says,
        ends,
        st.sampled_from(["SAME_AS", "SAME_AS", "TREATS"]),
        ends,
        st.sampled_from([0.5, 0.85, 1.0]),
        evidence_ids=st.sampled_from([(), ("paper_1:a",), ("paper_1:a", "b")]),
    )
    evidence = [
        sentence("paper_1:a", "Cortisol and warfarin."),
        sentence("b", "AI is adrenal insufficiency."),
    ]
    return bundle(
        entities, draw(st.lists(said, max_size=4)), evidence, draw(st.sampled_from([None, 1999, 2020]))
    )


@st.composite
def _entities(draw: st.DrawFn, local: str) -> BundleEntity:
    ids = dict(draw(st.lists(st.sampled_from(IDS), max_size=2)))
    name = draw(st.sampled_from(ENTITY_NAMES))
    mentions = (Mention(section="abstract", start_offset=0, end_offset=len(name), text=name),)
    return entity(
        local,
        name,
        draw(st.sampled_from(ENTITY_CLASSES)),
        synonyms=draw(st.sampled_from([(), ("AI",), ("CORT", "AI")])),
        mentions=draw(st.sampled_from([(), mentions])),
        **ids,
    )


@st.composite
def decisions(draw: st.DrawFn) -> Decisions:
    """Up to two decisions of each kind, which may contradict each other."""
    names = ["Drug/cortisol", "Disease/AI", "Gene/warfarin", "RxNorm:11", "RxNorm:12", "UMLS:C0000001"]
    pair = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(
        lambda found: found[0] != found[1]
    )
    lines: Iterable[tuple[str, str, str]] = [
        (*draw(pair), draw(st.sampled_from(["same", "different"]))) for _ in range(draw(st.integers(0, 3)))
    ]
    return decide(*lines)


papers = st.dictionaries(st.sampled_from([f"PMC{n}" for n in range(1, 7)]), bundles(), min_size=1, max_size=6)

"""The names of the stages that several sources have, and the types that describe checks.

What belongs here: names and types, which import nothing slow. What does not: any check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

CHUNKS, MATCH_MODELS, ENTITIES = "chunks", "match_models", "entities"
# It, too, says which entities documents are about; they are not people and organisations.
KNOWLEDGE_GRAPH = "knowledge_graph"
DENSE_VECTORS, SPARSE_VECTORS, COLLECTION = "dense_vectors", "sparse_vectors", "collection"
# What every lineage ends with.
SHARED_STAGES = (DENSE_VECTORS, SPARSE_VECTORS, COLLECTION)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `ingest doctor`."""

    name: str
    state: Literal["ok", "not configured", "wrong"]
    message: str  # one sentence, and what to do where it is not ok


class CheckResult(NamedTuple):
    """What a check of an asset found."""

    passed: bool
    sentence: str
    metadata: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetCheck:
    """A standing check of one stage's rows."""

    name: str
    stage: str
    description: str
    run: Callable[[Workbench, str], CheckResult]
    warns: bool = False  # a failure does not mean that the index is wrong
    quick: bool = True  # costs the same however large the index is: part of every refresh
    # For one that is not: the same of what changed since it last passed, for refreshes.
    of_changes: Callable[[Workbench, str], CheckResult] | None = None

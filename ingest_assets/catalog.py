"""Which sources there are, and the stages that each one's documents go through.

What belongs here: names and shapes, as data. What does not: anything that opens or does something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VECTORS = ("dense_vectors", "sparse_vectors")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One lineage graph."""

    name: str
    collection: str  # the name that its index is searched by
    documents: str  # the stage that reads the source
    # What comes between the documents and the collection besides chunks and vectors, in order.
    more: tuple[str, ...] = ()
    # Fields of its points, besides everybody's, that can be filtered by.
    fields: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """All of them, in an order in which they can run."""
        return (self.documents, *self.more, "chunks", *VECTORS, "collection")

    @property
    def upstream(self) -> tuple[str, ...]:
        """The stages that the points of the collection are made of."""
        return ("chunks", *(name for name in self.more if name == "entities"), *VECTORS)


CRM = SourceSpec("crm", "crm_chunks", "records", more=("match_models", "entities"))
REPOSITORIES = SourceSpec(
    "repositories",
    "repository_chunks",
    "files",
    fields=("repository", "path", "language", "symbol_kind", "symbol_name"),
)
CATALOG: Mapping[str, SourceSpec] = {spec.name: spec for spec in (CRM, REPOSITORIES)}
SOURCES = tuple(CATALOG)

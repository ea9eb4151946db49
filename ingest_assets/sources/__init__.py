"""Where documents come from: a folder for each source, whose `definition.py` declares it.

This is also the interface that sources in other packages are written against: the names below, of version
`INTERFACE_VERSION` (see CONTRIBUTING.md). Those of background jobs are in `ingest_assets.jobs.definition` and
`ingest_assets.jobs.queue`.

What belongs here: reading, and saying what should exist. What does not: recording what is done (see
`stages`), and how answers are shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest_assets.document_text import DocumentText, FromDocuments
    from ingest_assets.fields import Condition, Conditions, FilterField, Range
    from ingest_assets.model import (
        Chunk,
        Chunker,
        ConfigurationError,
        Document,
        Identity,
        ItemError,
        NotFoundError,
        RequestError,
        SkippedItem,
        Source,
        SourceItem,
        SourceUnavailableError,
        digest_of,
    )
    from ingest_assets.settings import SourceSettings
    from ingest_assets.sources.definition import (
        INTERFACE_VERSION,
        Missing,
        Partitioning,
        Projects,
        SourceDefinition,
        StageDefinition,
        SuppliedVectors,
        Triggers,
        Words,
    )
    from ingest_assets.sources.operations import Arguments, Asking, Cursor, Id, SourceOperation, Text
    from ingest_assets.sources.stages import (
        chunks_stage,
        documents_stage,
        record_chunker,
        resolution_checks,
        resolution_stages,
    )
    from ingest_assets.stages.origins import Origin
    from ingest_assets.stages.shapes import AssetCheck, CheckResult, Finding

# Imported when they are asked for: every confined process imports this package, and needs none of them.
_WHERE = {
    "ingest_assets.document_text": ("DocumentText", "FromDocuments"),
    "ingest_assets.fields": (
        "Condition",
        "Conditions",
        "FilterField",
        "Range",
    ),
    "ingest_assets.model": (
        "Chunk",
        "Chunker",
        "ConfigurationError",
        "Document",
        "Identity",
        "ItemError",
        "NotFoundError",
        "RequestError",
        "SkippedItem",
        "Source",
        "SourceItem",
        "SourceUnavailableError",
        "digest_of",
    ),
    "ingest_assets.settings": ("SourceSettings",),
    "ingest_assets.sources.definition": (
        "INTERFACE_VERSION",
        "Missing",
        "Partitioning",
        "Projects",
        "SourceDefinition",
        "StageDefinition",
        "SuppliedVectors",
        "Triggers",
        "Words",
    ),
    "ingest_assets.sources.operations": (
        "Arguments",
        "Asking",
        "Cursor",
        "Id",
        "SourceOperation",
        "Text",
    ),
    "ingest_assets.sources.stages": (
        "chunks_stage",
        "documents_stage",
        "record_chunker",
        "resolution_checks",
        "resolution_stages",
    ),
    "ingest_assets.stages.origins": ("Origin",),
    "ingest_assets.stages.shapes": (
        "AssetCheck",
        "CheckResult",
        "Finding",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "INTERFACE_VERSION",
    "Arguments",
    "Asking",
    "AssetCheck",
    "CheckResult",
    "Chunk",
    "Chunker",
    "Condition",
    "Conditions",
    "ConfigurationError",
    "Cursor",
    "Document",
    "DocumentText",
    "FilterField",
    "Finding",
    "FromDocuments",
    "Id",
    "Identity",
    "ItemError",
    "Missing",
    "NotFoundError",
    "Origin",
    "Partitioning",
    "Projects",
    "Range",
    "RequestError",
    "SkippedItem",
    "Source",
    "SourceDefinition",
    "SourceItem",
    "SourceOperation",
    "SourceSettings",
    "SourceUnavailableError",
    "StageDefinition",
    "SuppliedVectors",
    "Text",
    "Triggers",
    "Words",
    "chunks_stage",
    "digest_of",
    "documents_stage",
    "record_chunker",
    "resolution_checks",
    "resolution_stages",
]

"""The targets: every parser of bytes that come from outside. A new parser gets one here."""

from __future__ import annotations

from ingest_assets_tests.fuzz.target import Target
from ingest_assets_tests.fuzz.targets import (
    code,
    crm,
    files,
    git_objects,
    git_refs,
    papers,
    services,
    spool,
    texts,
    web,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (git_objects, git_refs, files, code, crm, papers, spool, texts, services, web)
    for target in module.TARGETS
}

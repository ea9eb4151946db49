"""Parts of a source as Dagster's dynamic partitions, named by the parts' ids."""

from __future__ import annotations

import dagster as dg

from ingest_assets.jobs.workers import active_targets
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.parts import known_parts
from ingest_assets.workbench import Workbench


def partitions_of(source: SourceDefinition) -> dg.DynamicPartitionsDefinition:
    """The partitions of one source: each part is a partition of its first asset."""
    return dg.DynamicPartitionsDefinition(name=source.name)


def sync_partitions(instance: dg.DagsterInstance, bench: Workbench, source: SourceDefinition) -> list[str]:
    """Keep a partition for each part that is known or that a job is for, and no others.

    Returns the known parts, sorted.
    """
    known = known_parts(bench, source)
    wanted = set(known) | (active_targets(bench.ledger, source.name) if source.jobs else set())
    there = set(instance.get_dynamic_partitions(source.name))
    if new := sorted(wanted - there):
        instance.add_dynamic_partitions(source.name, new)
    for gone in sorted(there - wanted):
        instance.delete_dynamic_partition(source.name, gone)
    return known

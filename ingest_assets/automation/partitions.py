"""Repositories as Dagster's dynamic partitions: one each, named by the repository's id."""

from __future__ import annotations

import dagster as dg

from ingest_assets.catalog import REPOSITORIES
from ingest_assets.jobs.workers import active_repositories
from ingest_assets.workbench import Workbench

PARTITIONS = dg.DynamicPartitionsDefinition(name=REPOSITORIES.name)


def sync_partitions(instance: dg.DagsterInstance, bench: Workbench) -> list[str]:
    """Have a partition for each repository that is kept in step, or that a job is for, and no other.

    Returns those kept in step, sorted.
    """
    kept = {repository.id for repository in bench.repositories.all()}
    wanted = kept | active_repositories(bench.ledger)
    there = set(instance.get_dynamic_partitions(REPOSITORIES.name))
    if new := sorted(wanted - there):
        instance.add_dynamic_partitions(REPOSITORIES.name, new)
    for gone in sorted(there - wanted):
        instance.delete_dynamic_partition(REPOSITORIES.name, gone)
    return sorted(kept)

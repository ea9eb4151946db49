"""Repositories as Dagster's dynamic partitions: one each, named by the repository's id."""

from __future__ import annotations

import dagster as dg

from ingest_assets.catalog import REPOSITORIES
from ingest_assets.repositories import Repositories

PARTITIONS = dg.DynamicPartitionsDefinition(name=REPOSITORIES.name)


def sync_partitions(instance: dg.DagsterInstance, repositories: Repositories) -> list[str]:
    """Have a partition for each repository in the ledger, and no other. Returns them, sorted."""
    wanted = {repository.id for repository in repositories.all()}
    there = set(instance.get_dynamic_partitions(REPOSITORIES.name))
    if new := sorted(wanted - there):
        instance.add_dynamic_partitions(REPOSITORIES.name, new)
    for gone in sorted(there - wanted):
        instance.delete_dynamic_partition(REPOSITORIES.name, gone)
    return sorted(wanted)

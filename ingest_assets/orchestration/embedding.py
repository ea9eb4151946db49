"""The job that makes dense vectors ahead of the stages that need them: a backfill, with one run a shard."""

from dataclasses import asdict
from typing import Any

import dagster as dg

from ingest_assets.orchestration.hosts import VERSION_TAG, version
from ingest_assets.orchestration.orphaned_runs import NOT_YET, TAG
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.queries.status import sources_in_use
from ingest_assets.settings import Settings
from ingest_assets.stages.ahead import Shard, make_ahead

EMBED = "embed_missing_vectors"


def embed_job(settings: Settings) -> Any:
    """A job with a partition for each shard, as many as the settings say."""
    of = settings.ingest_embed_shards
    keys = {f"{number}-of-{of}": Shard(number, of) for number in range(1, of + 1)}

    @dg.op(description="Embed the texts of this shard that lack a vector. Waits for no other run.")
    def embed_shard(context: dg.OpExecutionContext, ingest: Ingest) -> None:
        shard = keys[context.partition_key]
        with ingest.open_unlocked() as bench:
            made = make_ahead(bench, sources_in_use(bench), shard)
        context.add_output_metadata(asdict(made))
        if made.refused:
            context.log.warning(f"The model refused {made.refused:,} texts: the next refresh parks them.")

    @dg.job(
        name=EMBED,
        partitions_def=dg.StaticPartitionsDefinition(list(keys)),
        tags={TAG: NOT_YET, VERSION_TAG: version()},
        description="Make the dense vectors that are missing, in shards that run at the same time on as many "
        "workers as there are: launch it as a backfill. The refresh then finds nothing left to embed.",
    )
    def embed_missing_vectors() -> None:
        embed_shard()

    return embed_missing_vectors

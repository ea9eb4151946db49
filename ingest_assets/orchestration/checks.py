"""Asset checks: the standing proof that an index is complete, up to date and searchable."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import dagster as dg

from ingest_assets.model import NotPublishedError
from ingest_assets.orchestration.metadata import as_metadata
from ingest_assets.orchestration.quotes import quoting_as
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.redaction import redact
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.stages.checks import COLLECTION_CHECKS, HELD
from ingest_assets.stages.shapes import AssetCheck, CheckResult
from ingest_assets.workbench import Workbench


def checks_of(source: SourceDefinition) -> list[AssetCheck]:
    """All checks of one source."""
    return [*COLLECTION_CHECKS, *source.checks()]


def quick_check_keys(source: SourceDefinition) -> list[dg.AssetCheckKey]:
    """The checks that every run can afford."""
    return [_key(source, check) for check in checks_of(source) if check.quick or check.of_changes]


def audit_check_keys(source: SourceDefinition) -> list[dg.AssetCheckKey]:
    """The checks that read everything."""
    return [_key(source, check) for check in checks_of(source) if not check.quick]


def source_checks(source: SourceDefinition) -> list[dg.AssetChecksDefinition]:
    """The checks of one source, those of one stage together."""
    ordered = sorted(checks_of(source), key=attrgetter("stage"))
    return [
        _stage_checks(source, stage, list(checks)) for stage, checks in groupby(ordered, attrgetter("stage"))
    ]


def _stage_checks(
    source: SourceDefinition, stage: str, checks: Sequence[AssetCheck]
) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(check.name, asset=[source.name, stage], description=check.description)
        for check in checks
    ]

    @dg.multi_asset_check(name=f"{source.name}__{stage}_checks", specs=specs, can_subset=True)
    def checked(context: dg.AssetCheckExecutionContext, ingest: Ingest) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        is_refresh = context.run.job_name == source.refresh_job and source.refresh_job != source.build_job
        with ingest.open(source.name) as bench:
            for check in checks:
                if check.name in selected:
                    run = check.of_changes if is_refresh and check.of_changes else check.run
                    yield _result(source, check, bench, run)

    return checked


def report_held(instance: dg.DagsterInstance, source: SourceDefinition, bench: Workbench) -> None:
    """Have the check that no removal is held fail now: a run that is stopped does not come to its checks."""
    (check,) = [each for each in COLLECTION_CHECKS if each.name == HELD]
    found = check.run(bench, source.name)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=_key(source, check).asset_key,
            check_name=check.name,
            passed=found.passed,
            severity=dg.AssetCheckSeverity.ERROR,
            description=redact(found.sentence),
            metadata=as_metadata(found.metadata),
        )
    )


def _result(
    source: SourceDefinition,
    check: AssetCheck,
    bench: Workbench,
    run: Callable[[Workbench, str], CheckResult],
) -> dg.AssetCheckResult:
    try:
        with quoting_as(source):
            found = run(bench, source.name)
    except NotPublishedError as error:
        found = CheckResult(passed=False, sentence=str(error))
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=[source.name, check.stage],
        passed=found.passed,
        severity=dg.AssetCheckSeverity.WARN if check.warns else dg.AssetCheckSeverity.ERROR,
        description=redact(found.sentence),
        metadata=as_metadata(found.metadata),
    )


def _key(source: SourceDefinition, check: AssetCheck) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey([source.name, check.stage]), check.name)

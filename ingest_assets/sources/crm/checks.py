"""What an operator is told of the values of a CRM: with its records, and by a check.

What belongs here: sentences and tables. What does not: counting (`recorded`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ingest_assets.model import Markdown
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.readings import Readings
from ingest_assets.sources.crm.recorded import kept_readings
from ingest_assets.sources.crm.settings import CrmSettings
from ingest_assets.stages.shapes import AssetCheck, CheckResult

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

# From either of these on, what is not read is no slip of single rows, but a form of a column.
MOST_UNREAD, UNREAD_SHARE = 20, 0.01
KEPT = "crm-readings.json"  # in INGEST_HOME
_NAMES = {
    "time": "a time",
    "attributes": "a value to filter by",
    "emails": "an e-mail address",
    "phones": "a telephone number",
    "birth_date": "a date of birth",
}


def readings_metadata(bench: Workbench, source: str) -> dict[str, Any]:
    """The counts as an operator sees them, one line a kind, and examples of what was not read."""
    found = _readings(bench, source)
    lines = [
        f"| {one.kind} | {one.rows:,} | {one.empty_titles:,} | {one.empty_bodies:,} | {one.times:,} | "
        f"{one.times_unread:,} | {one.emails:,} | {one.phones:,} | {one.references:,} | {one.nowhere:,} |"
        for one in found.values()
    ]
    head = (
        "| kind | rows | without title | without body | times read | not read | with e-mail | with telephone "
        "| references | lead nowhere |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    metadata: dict[str, Any] = {
        "readings": Markdown("\n".join([head, *lines])),
        "times_not_read": sum(one.times_unread for one in found.values()),
        "references_nowhere": sum(one.nowhere for one in found.values()),
    }
    if examples := [f"- {line}" for one in found.values() for line in _examples(one)]:
        metadata["not_read"] = Markdown("\n".join(examples))
    return metadata


def _examples(one: Readings) -> Iterator[str]:
    for what, examples in one.examples.items():
        for example in examples:
            shown = example.replace("`", "'")
            yield f"{one.kind}, {what}: `{shown}`"


def _readings(bench: Workbench, source: str) -> dict[str, Readings]:
    mapping = load_mapping(bench.settings.of(CrmSettings).crm_mapping_path)
    kinds = [each.name for each in mapping.documents]
    return kept_readings(bench.ledger, bench.settings.ingest_home / KEPT, source, kinds)


def _readable(bench: Workbench, source: str) -> CheckResult:
    found = _readings(bench, source)
    wrong: list[str] = []
    lost: list[str] = []  # what is no more than slips
    for one in found.values():
        for what, count in one.unread.items():
            read = {"time": one.times, "emails": one.emails, "phones": one.phones}.get(what, one.rows - count)
            if count >= MOST_UNREAD or count > UNREAD_SHARE * (read + count):
                wrong.append(f"{count:,} of {one.kind} have {_NAMES[what]} that is not read")
        if one.nowhere >= MOST_UNREAD or one.nowhere > UNREAD_SHARE * one.references:
            wrong.append(f"{one.nowhere:,} of {one.references:,} references of {one.kind} lead nowhere")
        elif one.nowhere:
            lost.append(f"{one.nowhere:,} references of {one.kind} lead nowhere")
    metadata = readings_metadata(bench, source) if wrong or lost else {}
    if not wrong:
        sentence = "; ".join(["What records have for times, addresses and telephones is read", *lost])
        return CheckResult(passed=True, sentence=f"{sentence}.", metadata=metadata)
    advice = (
        "The mapping's time_format says how times are written, [fields] what type a value to filter by has, "
        "formats how a column is read, and refs where references lead"
    )
    return CheckResult(passed=False, sentence=f"{'; '.join([*wrong, *lost])}. {advice}.", metadata=metadata)


CRM_CHECKS = (
    AssetCheck(
        name="readable",
        stage="records",
        description="Times, values to filter by, e-mail addresses, telephone numbers and dates of birth of "
        "records are read, and references lead somewhere, but for slips. What is not and does not is listed.",
        run=_readable,
        warns=True,
    ),
)

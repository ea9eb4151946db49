"""The output of `ingest entity`: text for people, JSON for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from ingest_assets.terminal import console_of, escape, print_json, say, table

if TYPE_CHECKING:
    from ingest_assets.entities import FieldWeight
    from ingest_assets.queries.directory import EntityView, Happened, NameHit, Why
    from ingest_assets.queries.entity_export import Exported


HOW_JOINED = (
    "Groups of records are joined by the mean weight between them, so one strong pair may not be enough, and "
    "one weak pair need not prevent it. Two people of whom only the names are known are never joined."
)
MIN_BITS = 0.05  # evidence that would be shown as 0.0 is left out
MAX_RECORDS = 3  # shown for each value


def view(found: EntityView, as_json: bool) -> None:
    """Print an entity in full."""
    if as_json:
        return print_json(asdict(found))
    console = console_of()
    name = found.golden["name"][0].value if "name" in found.golden else "(no name)"
    console.print(f"[bold]{escape(name)}[/bold]  [dim]{escape(found.kind)} {escape(found.entity_id)}[/dim]")
    if found.asked in found.earlier_ids:
        console.print(f"{escape(found.asked)} is an earlier id of this entity.")
    console.print("\n[bold]Best values[/bold]")
    rows = [
        [field.replace("_", " "), value.value, _first(value.records)]
        for field, values in found.golden.items()
        for value in values
    ]
    table(("field", "value", "from"), rows, right=False)
    console.print("\n[bold]Records[/bold]")
    table(("record", "title", "at"), [[m.document_id, m.title, m.uri] for m in found.members], right=False)
    if found.links:
        console.print(
            "\n[bold]What links them[/bold], weakest first. Weights are in bits: 10 bits mean 1,000 to 1"
        )
    for link in found.links:
        console.print(
            f"{escape(link.left)} - {escape(link.right)}: {link.weight:+.1f}  {_evidence(link.fields)}"
        )
    for decision in found.decisions:
        console.print(f"Decided: {escape(_decided(decision))}")
    console.print("\n[bold]History[/bold], newest first")
    for event in found.history:
        console.print(f"[dim]{escape(event.at)}[/dim]  {escape(_event(event))}", soft_wrap=True)
    return None


def why(found: Why, as_json: bool) -> None:
    """Print the evidence about two records."""
    if as_json:
        return print_json(asdict(found) | {"same": found.same})
    console = console_of()
    verdict = (
        f"one entity, {found.entities[0]}" if found.same else f"two entities, {' and '.join(found.entities)}"
    )
    console.print(f"{escape(found.left)} and {escape(found.right)} are {escape(verdict)}.")
    for decision in found.decisions:
        console.print(f"Decided: {escape(_decided(decision))}")
    rows = [["prior (before comparing)", "", "", "", f"{found.prior:+.1f}"]]
    rows += [
        [f.field.replace("_", " "), f.left, f.right, f.level, f"{f.weight + f.frequency:+.1f}"]
        for f in found.fields
    ]
    rows.append(["total", "", "", "", f"{found.weight:+.1f}"])
    table(("field", found.left, found.right, "level", "bits"), rows, right=False)
    console.print(f"[dim]{HOW_JOINED}[/dim]", soft_wrap=True)
    return None


def names(name: str, hits: Sequence[NameHit], as_json: bool) -> None:
    """Print the entities with a name."""
    if as_json:
        return print_json({"name": name, "entities": [asdict(hit) for hit in hits]})
    if not hits:
        console_of().print(f"No entity has the name {escape(name)}.")
        return None
    rows = [[hit.name, hit.kind, str(hit.records), hit.entity_id] for hit in hits]
    return table(("name", "kind", "records", "entity"), rows, right=False)


def export(rows: Iterable[Exported], form: str) -> None:
    """Print exported rows as they are read."""
    if form == "jsonl":
        for row in rows:
            print_json(asdict(row), on_one_line=True)
        return
    from ingest_assets.queries.entity_export import columns

    line = io.StringIO()
    written = csv.writer(line, lineterminator="")
    for values in chain([columns()], (_cells(row) for row in rows)):
        written.writerow(values)
        say(line.getvalue())
        line.seek(0)
        line.truncate()


def _cells(row: Exported) -> list[Any]:
    return [" ".join(value) if isinstance(value, tuple) else value for value in asdict(row).values()]


def _evidence(fields: Sequence[FieldWeight]) -> str:
    shown = [f for f in fields if abs(f.weight + f.frequency) >= MIN_BITS]
    shown.sort(key=lambda f: -abs(f.weight + f.frequency))
    return escape(
        ", ".join(f"{f.field.replace('_', ' ')} {f.weight + f.frequency:+.1f} ({f.level})" for f in shown)
    )


def _decided(decision: Any) -> str:
    who = f", says {decision.who}" if decision.who else ""
    reason = f": {decision.why}" if decision.why else ""
    return f"{decision.left} and {decision.right} are {decision.verdict}{who}{reason}"


def _event(event: Happened) -> str:
    sentence = {
        "create": f"{event.entity_id} began with {event.document_id}",
        "merge": f"{event.other_id} became part of {event.entity_id}",
        "split": f"{event.entity_id} was split off from {event.other_id}",
        "move": f"{event.document_id} moved from {event.other_id} to {event.entity_id}",
        "retire": f"{event.entity_id} ended",
        "join": f"{event.document_id} joined",
        "leave": f"{event.document_id} left",
    }[event.kind]
    reasons = [_pair(*pair) for pair in event.reason.get("pairs", ())]
    reasons += event.reason.get("decisions", ())
    if because := event.reason.get("because"):
        reasons.append(because)
    return f"{sentence} ({'; '.join(reasons)})" if reasons else sentence


def _pair(left: str, right: str, weight: float, rules: Sequence[str] = ()) -> str:
    by = f" by {', '.join(rule.partition('/')[2] for rule in rules)}" if rules else ""
    return f"{left} - {right} {weight:+.1f}{by}"


def _first(records: Sequence[str]) -> str:
    more = len(records) - MAX_RECORDS
    return ", ".join(records[:MAX_RECORDS]) + (f" and {more} more" if more > 0 else "")

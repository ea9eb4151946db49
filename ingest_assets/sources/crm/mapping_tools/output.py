"""What `ingest mapping` prints: text for people, JSON for programs.

What belongs here: tables and sentences. What does not: finding out what they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest_assets.sources.crm.readings import NOWHERE, Readings
from ingest_assets.terminal import console_of, escape, print_json, say, table

if TYPE_CHECKING:
    from ingest_assets.model import Document
    from ingest_assets.sources.crm.mapping_tools.check import Checked
    from ingest_assets.sources.crm.mapping_tools.draft import Draft
    from ingest_assets.sources.crm.mapping_tools.preview import Preview

_BODY_CHARS = 600
_COLUMNS = (
    "kind", "rows", "without title", "without body", "times read", "not read", "with e-mail",
    "with telephone", "references", "lead nowhere", "parked",
)  # fmt: skip
_READ_AS = {
    "attributes": "values to filter by",
    "time": "times",
    "emails": "e-mail addresses",
    "phones": "telephone numbers",
    "birth_date": "dates of birth",
}


def drafted(draft: Draft, text: str, file: Path | None, as_json: bool) -> None:
    """Print the draft, or write it to a file and say so."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    kinds = [kind.name for kind in draft.kinds]
    if as_json:
        told = {"kinds": kinds, "left_out": [asdict(each) for each in draft.left_out]}
        return print_json({**told, "path": None if file is None else str(file), "mapping": text})
    if file is None:
        return say(text.rstrip("\n"))
    console_of().print(
        f"Wrote {escape(str(file))}: {len(kinds)} kinds of documents, {len(draft.left_out)} tables and "
        "views left out. Its comments say what was guessed. Read it, then run `ingest mapping check` on it."
    )
    return None


def checked(result: Checked, as_json: bool) -> None:
    """Print the faults of a mapping file."""
    if as_json:
        return print_json({**asdict(result), "right": result.is_right})
    console = console_of()
    for fault in result.faults:
        at = f"{result.file}:{fault.line}:{fault.column}"
        console.print(
            f"[bold]{escape(at)}[/bold]: {escape(fault.place)}: {escape(fault.message)}", soft_wrap=True
        )
    if result.unreadable:
        console.print(f"[red]wrong[/red]  {escape(result.unreadable)}", soft_wrap=True)
    compared = f"It was compared with {result.database}." if result.database else result.not_compared
    count = len(result.faults)
    found = f"{count} fault{'s' * (count != 1)}" if count else "no faults"
    console.print(f"[dim]{escape(result.file)}: {found}. {escape(compared)}[/dim]", soft_wrap=True)
    return None


def previewed(previews: Sequence[Preview], as_json: bool) -> None:
    """Print documents, and what becomes of values."""
    if as_json:
        return print_json({"kinds": [_as_json(each) for each in previews]})
    for each in previews:
        for document in each.documents:
            _print_document(document)
    table(_COLUMNS, [_counts(each) for each in previews])
    console = console_of()
    for each in previews:
        for line in _remarks(each):
            console.print(escape(line), soft_wrap=True)
    if partial := [each.kind for each in previews if not each.complete]:
        console.print(
            f"[dim]Only the first rows of {escape(', '.join(partial))} were looked at: --limit N looks at "
            "more, --all at all.[/dim]",
            soft_wrap=True,
        )
    return None


def _counts(each: Preview) -> list[str]:
    one = each.readings
    numbers = [one.rows + each.refused, one.empty_titles, one.empty_bodies, one.times, one.times_unread]
    numbers += [one.emails, one.phones, one.references, one.nowhere, each.refused]
    return [f"{each.kind}{'' if each.complete else ' (some)'}", *(f"{number:,}" for number in numbers)]


def _remarks(each: Preview) -> Iterator[str]:
    """Sentences about one kind, with examples."""
    one = each.readings
    for what, count in one.unread.items():
        yield f"{each.kind}: {count:,} {_READ_AS.get(what, what)} are not read: {_examples(one, what)}."
    if one.nowhere:
        yield f"{each.kind}: {one.nowhere:,} references lead nowhere: {_examples(one, NOWHERE)}."
    if one.several:
        yield f"{each.kind}: {one.several:,} rows have several addresses or telephone numbers."
    if one.longest_header:
        cut = f"; {one.headers_cut:,} rows have more than chunks repeat" if one.headers_cut else ""
        yield f"{each.kind}: the longest header line has {one.longest_header:,} characters{cut}."
    for why in each.why_refused:
        yield f"{each.kind}: would be parked: {why}"


def _examples(one: Readings, what: str) -> str:
    return "; ".join(one.examples.get(what, ()))


def _print_document(document: Document) -> None:
    console = console_of()
    when = f"  {document.time}" if document.time else ""
    console.print(
        f"[bold]{escape(document.title)}[/bold]  "
        f"[dim]{escape(f'{document.kind}  {document.id}{when}')}[/dim]",
        soft_wrap=True,
    )
    lines = [f"{label}: {value}" for label, value in document.context]
    body = document.body[:_BODY_CHARS] + ("…" if len(document.body) > _BODY_CHARS else "")
    lines += ["", *body.split("\n")] if body else []
    for line in lines:
        console.print(f"  {escape(line)}", soft_wrap=True)
    told = {
        "refers to": ", ".join(document.refs),
        "filters": ", ".join(f"{name}={value}" for name, value in document.attributes.items()),
        "identity": _pairs(_seen(document)),
        "uri": document.uri,
    }
    for label, text in told.items():
        if text:
            console.print(f"  [dim]{label}: {escape(text)}[/dim]", soft_wrap=True)
    console.print()


def _seen(document: Document) -> dict[str, Any]:
    """What entity resolution sees of a document."""
    if document.identity is None:
        return {}
    from ingest_assets.entities import features_of

    features = asdict(features_of(document.id, document.identity))
    return {name: value for name, value in features.items() if value and name != "id"}


def _pairs(seen: dict[str, Any]) -> str:
    texts = {
        name: ", ".join(each) if isinstance(each, list | tuple) else str(each) for name, each in seen.items()
    }
    return "; ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())


def _as_json(each: Preview) -> dict[str, Any]:
    documents = [{**asdict(document), "identity_seen": _seen(document)} for document in each.documents]
    return {
        "kind": each.kind,
        "complete": each.complete,
        "counts": {**asdict(each.readings), "parked": each.refused},
        "why_parked": each.why_refused,
        "documents": documents,
    }

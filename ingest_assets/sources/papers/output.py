"""What `ingest paper` prints: text for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ingest_assets.sources.papers.formats.parsing import SUFFIXES
from ingest_assets.terminal import console_of, escape, print_json, say, table

if TYPE_CHECKING:
    from ingest_assets.sources.papers.papers import Added, KeptPaper

NEXT = "Run `ingest refresh --source papers` to extract and index them now."

SKIPPED = 10  # files that are named


def added(rows: Sequence[Added], as_json: bool, hint: str = NEXT) -> None:
    """What became of each paper that was to be added."""
    if as_json:
        return print_json({"papers": [asdict(each) for each in rows]})
    skipped = [each.file for each in rows if each.state == "skipped"]
    looked_at = [each for each in rows if each.state != "skipped"]
    for each in looked_at:
        if each.error:
            say(f"{each.file}: not added. {each.error}")
        else:
            say(f"{each.paper_id}: {each.state}. {each.title}")
    if skipped:
        more = f" and {len(skipped) - SKIPPED:,} more" if len(skipped) > SKIPPED else ""
        say(
            f"Skipped: {', '.join(skipped[:SKIPPED])}{more}. In folders, names of papers end in "
            f"{', '.join(SUFFIXES)}; to add another file, name it."
        )
    if hint and any(each.state != "unchanged" for each in looked_at if not each.error):
        say(hint)
    if not looked_at:
        say("There is no file of a paper.")
    return None


def several(rows: Sequence[Mapping[str, Any]], as_json: bool, waiting: int = 0) -> None:
    """All papers, and how many bundles no refresh has read yet."""
    if as_json:
        return print_json({"papers": list(rows)})
    if waiting:
        say(f"{waiting:,} bundles are in the workspace: `ingest refresh` reads them.")
    elif not rows:
        say("No paper has been added. `ingest paper add` adds one.")
    if not rows:
        return None
    cells = [
        [row["paper_id"], str(row["year"] or ""), row["notice"], str(row["sections"]), row["title"][:90]]
        for row in rows
    ]
    return table(("paper", "year", "notice", "sections", "title"), cells, right=False)


def details(found: Mapping[str, Any], as_json: bool) -> None:
    """One paper."""
    if as_json:
        return print_json(found)
    console = console_of()
    console.print(f"[bold]{escape(found['title'])}[/bold]")
    for name in ("paper_id", "pmcid", "pmid", "doi", "authors", "journal", "year", "study_type", "notices",
                 "files", "error"):  # fmt: skip
        if value := found.get(name):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            console.print(f"{name.replace('_', ' ')}: {escape(shown)}")
    bundle = found["bundle"]
    if bundle is None:
        console.print("bundle: none yet")
    else:
        console.print(
            f"bundle: {bundle['entities']:,} entities, {bundle['relationships']:,} relationships, made by "
            f"{escape(bundle['extractor'] or 'others')}"
        )
    for each in found["author_links"]:
        console.print(escape(f"author {each['author']}: perhaps {each['entity_id']} ({each['because']})"))
    table(("section", "kind", "characters"), [
        [each["id"], each["kind"], f"{each['characters']:,}"] for each in found["sections"]
    ], right=False)  # fmt: skip
    return None


def removed(found: KeptPaper, as_json: bool) -> None:
    """A paper that is gone."""
    if as_json:
        return print_json({"paper_id": found.paper_id, "title": found.title, "files": list(found.files)})
    return say(
        f"Removed: {found.paper_id}. It leaves the index and the graph with the next `ingest refresh`."
    )


def passed(found: Mapping[str, Any], as_json: bool) -> None:
    """What a pass found."""
    if as_json:
        return print_json(found)
    for name, value in found.items():
        if isinstance(value, int):
            say(f"{name.replace('_', ' ')}: {value:,}")
        elif isinstance(value, str):
            say(f"{name.replace('_', ' ')}: {value}")
    for name in ("unreadable", "left_out"):
        for paper, what in found.get(name, {}).items():
            said = what if isinstance(what, str) else " ".join(what)
            say(f"{name.replace('_', ' ')}: {paper}: {said}")
    for remark in found.get("remarks", ()):
        say(f"remark: {remark}")
    return None

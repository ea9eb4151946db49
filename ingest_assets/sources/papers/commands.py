"""`ingest paper`: which papers are kept, and the three passes with folders of their own.

What belongs here: arguments and options. What does not: what is printed (`output`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest_assets.settings import load_settings
from ingest_assets.sources.papers import output
from ingest_assets.sources.papers.settings import PaperSettings
from ingest_assets.terminal import JsonOption
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.sources.papers.papers import Added

paper = typer.Typer(no_args_is_help=True, help="Scientific papers: add, list, show, remove, extract.")

Id = Annotated[str, typer.Argument(help="Its id, as `ingest paper list` shows it.")]
Bundles = Annotated[Path, typer.Option(help="The folder of bundles, one for each paper.")]


@paper.command()
def add(
    what: Annotated[
        list[str],
        typer.Argument(help="PMCIDs (PMC10667925), https URLs, files (XML, PDF, Markdown, text) or folders."),
    ],
    reextract: Annotated[
        bool, typer.Option(help="Extract the papers again, even if they have bundles, whoever made them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Add papers. `ingest refresh` then extracts and indexes them."""
    from ingest_assets.sources.papers.adding import add_all

    with Workbench(load_settings()) as bench:
        _say_of_each(add_all(bench, what, reextract=reextract), json)


def _say_of_each(rows: Iterable[Added], json: bool, hint: str = output.NEXT) -> None:
    """Print what became of each. If it fails midway, what was done until then is said too."""
    done: list[Added] = []
    complete = False
    try:
        for each in rows:
            done.append(each)  # noqa: PERF402 - kept when the next one raises
        complete = True
    finally:
        if done or complete:
            output.added(done, json, hint)
    if any(each.error for each in done):
        raise typer.Exit(1)


@paper.command("list")
def list_(json: JsonOption = False) -> None:
    """The papers that are kept."""
    from ingest_assets.sources.papers.bundle_states import bundle_states
    from ingest_assets.sources.papers.listing import listed_papers

    with Workbench(load_settings()) as bench:
        output.several(listed_papers(bench), json, 0 if json else bundle_states(bench).waiting)


@paper.command()
def show(paper_id: Id, json: JsonOption = False) -> None:
    """What is known of a paper: its sections, its bundle, notices, and its authors in other sources."""
    from ingest_assets.sources.papers.listing import paper_details

    with Workbench(load_settings()) as bench:
        output.details(paper_details(bench, paper_id), json)


@paper.command()
def remove(paper_id: Id, json: JsonOption = False) -> None:
    """Remove a paper and its bundle. It leaves the index and the graph with the next refresh."""
    from ingest_assets.sources.papers.places import papers_of

    with Workbench(load_settings()) as bench:
        output.removed(papers_of(bench).remove(paper_id), json)


@paper.command()
def pass1(
    input_dir: Annotated[
        Path, typer.Option("--input-dir", "--papers", help="A folder of papers: XML, PDF, Markdown or text.")
    ],
    output_dir: Annotated[Path, typer.Option(help="Where the bundles go.")],
    reextract: Annotated[bool, typer.Option(help="Replace bundles that are there.")] = False,
    json: JsonOption = False,
) -> None:
    """Pass 1 by itself: a bundle for each paper of a folder. The index and the graph are not touched."""
    from ingest_assets.sources.papers.scripts import extract_folder

    with Workbench(load_settings()) as bench:
        _say_of_each(extract_folder(bench, input_dir, output_dir, reextract=reextract), json, hint="")


@paper.command()
def pass2(
    bundle_dir: Bundles,
    output_dir: Annotated[Path, typer.Option(help="Where the merged files go.")],
    _synonym_cache: Annotated[
        Path | None,
        typer.Option(
            "--synonym-cache",
            help="Accepted, and not needed: the cache is derived from the bundles, and written with the "
            "merged files.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Pass 2 by itself: merge the entities of the bundles in a folder."""
    from ingest_assets.sources.papers.scripts import merge_folder

    output.passed(merge_folder(load_settings().of(PaperSettings), bundle_dir, output_dir), json)


@paper.command()
def pass3(
    merged_dir: Annotated[Path, typer.Option(help="The folder of merged files, as pass 2 wrote them.")],
    bundles_dir: Bundles,
    output_dir: Annotated[Path, typer.Option(help="Where the graph bundle goes.")],
    json: JsonOption = False,
) -> None:
    """Pass 3 by itself: write the graph bundle of merged files and bundles."""
    from ingest_assets.sources.papers.scripts import build_folder

    settings = load_settings().of(PaperSettings)
    output.passed(build_folder(settings, merged_dir, bundles_dir, output_dir), json)

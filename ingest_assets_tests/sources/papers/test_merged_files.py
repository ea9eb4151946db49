"""Merged files are written and read piece by piece, and have the bytes that they would have in one piece."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from pydantic_core import to_json

from ingest_assets.sources.papers.bundles import Mention
from ingest_assets.sources.papers.merging import batches, merged_files
from ingest_assets.sources.papers.merging.bundle_files import write_bundle
from ingest_assets.sources.papers.merging.merging import merge
from ingest_assets.sources.papers.merging.passes import run_all
from ingest_assets.sources.papers.merging.said import said_of
from ingest_assets.sources.papers.workspace import Workspace
from ingest_assets_tests.sources.papers import making
from ingest_assets_tests.sources.papers.making import bundle, entity, says, sentence


@pytest.mark.parametrize("at_once", [1, 2, 3, 1_000])
@given(papers=making.papers)
def test_files_are_as_if_they_were_written_at_once(papers: making.Papers, at_once: int) -> None:
    merged = merge((paper_id, said_of(made)) for paper_id, made in papers.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "AT_ONCE", at_once)
        files = {name: b"".join(pieces) for name, pieces in merged_files.merged_files(merged)}
    for content in files.values():
        assert content == to_json(json.loads(content), indent=2) + b"\n"
    rows = json.loads(files["entities.json"])
    assert [each["entity_id"] for each in rows] == [each.id for each in merged.entities]
    assert len(json.loads(files["relationships.json"])) == len(merged.relationships)
    assert json.loads(files["id_map.json"]) == merged.id_map


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 20])
@given(papers=making.papers)
def test_a_file_of_entities_is_read_as_it_was_written(papers: making.Papers, block: int) -> None:
    merged = merge((paper_id, said_of(made)) for paper_id, made in papers.items())
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as name:
        folder = Path(name)
        patch.setattr(merged_files, "_BLOCK", block)
        content = b"".join(dict(merged_files.merged_files(merged))["entities.json"])
        (folder / "entities.json").write_bytes(content)
        assert merged_files.digests_in(folder) == merged_files.entity_digests(merged)


def test_no_entities_are_read_as_they_were_written(tmp_path: Path) -> None:
    content = b"".join(dict(merged_files.merged_files(merge([])))["entities.json"])
    (tmp_path / "entities.json").write_bytes(content)
    assert content == b"[]\n"
    assert merged_files.digests_in(tmp_path) == {}


OTHERS = [b"", b"[]", b"[\n", b"{}", b"[1]\n", b'[\n  {\n    "a": 1\n  }\n]\n', b"[\n\xff\n  }\n]\n"]


@pytest.mark.parametrize("content", OTHERS)
def test_a_file_that_somebody_else_wrote_has_no_entities_of_ours(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "entities.json").write_bytes(content)
    assert merged_files.digests_in(tmp_path) == {}
    assert merged_files.digests_in(tmp_path / "none") == {}


def _papers(workspace: Workspace, count: int) -> None:
    """Papers about the same hundred entities, each with its own sentences."""
    entities = [entity(f"E{number}", f"substance {number}") for number in range(100)]
    for paper in range(count):
        text = f"In paper {paper} a substance was given. " * 100
        sentences = [
            sentence(f"x{number}", text, section="s", start_offset=number, end_offset=number + len(text))
            for number in range(100)
        ]
        said = [says(f"E{number}", "TREATS", "E0", evidence_ids=(f"x{number}",)) for number in range(1, 100)]
        placed = Mention(section="s", start_offset=0, end_offset=8, text="In paper")
        made = bundle([each.model_copy(update={"mentions": (placed,)}) for each in entities], said, sentences)
        write_bundle(workspace, f"PMC{1_000 + paper}", made)


def _peak(tmp_path: Path, papers: int) -> int:
    """Bytes that both passes take at most."""
    workspace = Workspace(tmp_path / str(papers))
    workspace.create()
    _papers(workspace, papers)
    gc.collect()
    tracemalloc.start()
    try:
        run_all(workspace)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_what_papers_say(tmp_path: Path) -> None:
    """A paper more costs ids, and not its sentences, which are 350 KB."""
    few, many = _peak(tmp_path, 30), _peak(tmp_path, 60)  # of which 25 have room in memory
    assert (many - few) / 30 < 50_000

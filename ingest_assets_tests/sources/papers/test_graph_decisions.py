"""The file of a curator's decisions: what it may say, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.merging.decisions import Decisions, Reference, load_decisions

HEAD = "left,right,verdict,who,why\n"


def _load(folder: Path, text: str) -> Decisions:
    path = folder / "decisions.csv"
    path.write_text(text, "utf-8")
    return load_decisions(path, ["SpaceShip"])


def test_entities_are_named_by_id_or_by_class_and_name(tmp_path: Path) -> None:
    lines = (
        "Drug/Pasireotide, rxnorm:1100699 ,same,Ada,\n"
        '"cell line/He/La, or so",UMLS:C0010481,different,,the name may have a slash\n'
        "space ship/Enterprise,6F1F7F5E-0A3C-5A86-9D57-1F3B0F6C2A41,different\n"
    )
    made = _load(tmp_path, "\ufeff" + HEAD + lines)
    assert [(each.left, each.right) for each in made.made] == [
        (Reference(entity_class="Drug", name="pasireotide"), Reference(id="RxNorm:1100699")),
        (Reference(entity_class="CellLine", name="he/la, or so"), Reference(id="UMLS:C0010481")),
        (
            Reference(entity_class="SpaceShip", name="enterprise"),
            Reference(id="6f1f7f5e-0a3c-5a86-9d57-1f3b0f6c2a41"),
        ),
    ]
    assert load_decisions(None) == Decisions()


def test_the_digest_is_of_the_verdicts(tmp_path: Path) -> None:
    one = _load(tmp_path, HEAD + "Drug/a,Drug/b,same,Ada,x\nDrug/a,Drug/c,different,,\n").digest
    assert _load(tmp_path, HEAD + "Drug/C,Drug/a,different\nDrug/b,Drug/a,same\n").digest == one
    assert _load(tmp_path, HEAD + "Drug/a,Drug/b,different,Ada,x\n").digest != one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left,right\n", "lack verdict"),
        ("", "lack left, right, verdict"),
        (HEAD + "Drug/a,Drug/b,same\nDrug/a,Drug/b,maybe\n", "line 3"),
        (HEAD + "5492,Drug/b,same\n", "line 2"),
        (HEAD + "Drug/a,drug/ A,same\n", "two different entities"),
        (HEAD + "Spaceship9/a,Drug/a,same\n", "line 2"),
        (HEAD + "Drug/,Drug/a,same\n", "line 2"),
        (HEAD + "Drug/a,Drug/b,same\nDrug/b,Drug/a,different\n", "contradict each other"),
    ],
)
def test_what_a_decision_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _load(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_decisions(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"left,right,verdict\n\xff")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_decisions(tmp_path / "latin.csv")

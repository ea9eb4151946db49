"""A curator's decisions about entities of papers: a CSV file that always wins.

    left,right,verdict,who,why
    Drug/pasireotide,RxNorm:1100699,same,Ada,the other numbers are made up
    Disease/Cushing disease,UMLS:C0010481,different,Ada,this is the id of the syndrome

An entity is named by an id or by class and name; class and name mean every entity of this name, whatever ids
bundles give it. What belongs here: reading the file, and finding contradictions. What does not: following it
(`merging`).
"""

from __future__ import annotations

import csv
import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID

from ingest_assets.model import ConfigurationError, digest_of
from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.classes import class_named, known_classes
from ingest_assets.sources.papers.merging.names import fold

Verdict = Literal["same", "different"]
COLUMNS = ("left", "right", "verdict", "who", "why")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """How a decision names an entity: an id of an authority, a derived id, or class and folded name."""

    id: str = ""
    entity_class: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.id or f"{self.entity_class}/{self.name}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Two entities, and whether they are one."""

    left: Reference
    right: Reference
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Decisions:
    """All decisions of a file; their order does not matter."""

    made: Sequence[Decision] = ()

    @property
    def same(self) -> list[Decision]:
        return [each for each in self.made if each.verdict == "same"]

    @property
    def different(self) -> list[Decision]:
        return [each for each in self.made if each.verdict == "different"]

    @property
    def digest(self) -> str:
        """Digest of the verdicts; their order and their reasons do not matter."""
        return digest_of(
            *sorted({"\n".join([d.verdict, *sorted([str(d.left), str(d.right)])]) for d in self.made})
        )


def load_decisions(path: Path | None, more_classes: Iterable[str] = ()) -> Decisions:
    """Read the file; without a path there are no decisions.

    Raises ConfigurationError, with the line number, if it is missing, invalid or contradicts itself.
    """
    if path is None:
        return Decisions()
    known = known_classes(more_classes)
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            _require_columns(path, rows.fieldnames or ())
            made = [_decision(path, rows.line_num, row, known) for row in rows]
    except OSError as error:
        raise ConfigurationError(f"The decisions in {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"The decisions in {path} are not a CSV file in UTF-8: {error}.") from error
    decisions = Decisions(tuple(made))
    require_agreement(decisions)
    return decisions


def require_agreement(decisions: Decisions) -> None:
    """Raises ConfigurationError if two entities are said to be one, directly or not, and to be different."""
    leader: dict[Reference, Reference] = {}

    def find(reference: Reference) -> Reference:
        while (above := leader.get(reference, reference)) != reference:
            reference = above
        return reference

    for each in decisions.same:
        leader[find(each.left)] = find(each.right)
    for each in decisions.different:
        if find(each.left) == find(each.right):
            raise ConfigurationError(
                f"The decisions about entities contradict each other: {each.left} and {each.right} are "
                "different, and by others the same. Correct or remove one of these lines."
            )


def reference(text: str, known: dict[str, str] | None = None) -> Reference | None:
    """What "RxNorm:5492", a derived id or "Drug/Hydrocortisone" names. None if the text is none of these."""
    if found := authorities.canonical_form(text, "canonical_id"):
        return Reference(id=found)
    try:
        return Reference(id=str(UUID(text)))
    except ValueError:
        pass
    written, slash, name = text.partition("/")
    entity_class = class_named(written, known)
    if not slash or entity_class is None or not fold(name):
        return None
    return Reference(entity_class=entity_class, name=fold(name))


def _require_columns(path: Path, present: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS[:3] if name not in present]:
        raise ConfigurationError(
            f"The decisions in {path} lack {', '.join(missing)}. The first line must be: {','.join(COLUMNS)}"
        )


def _decision(path: Path, line: int, row: dict[str, str | None], known: dict[str, str]) -> Decision:
    written_left, written_right, verdict = ((row.get(name) or "").strip() for name in COLUMNS[:3])
    left, right = reference(written_left, known), reference(written_right, known)
    if left is None or right is None or left == right or verdict not in get_args(Verdict):
        raise ConfigurationError(
            f"The decisions in {path}, line {line}: needs two different entities, each an id with its "
            'authority ("RxNorm:5492") or class and name ("Drug/Aspirin"), and the verdict same or '
            f"different, not {written_left!r}, {written_right!r}, {verdict!r}."
        )
    return Decision(left, right, verdict)  # type: ignore[arg-type]  # checked above

"""People's decisions about which records are the same entity: a CSV file that always wins.

    left,right,verdict,who,why
    people/12,people/98,same,Ada,she changed her name
    people/3,people/4,different,Ada,father and son

What belongs here: reading the file and reporting what is wrong with it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from ingest_assets.model import ConfigurationError, digest_of

Verdict = Literal["same", "different"]
COLUMNS = ("left", "right", "verdict", "who", "why")


@dataclass(frozen=True, slots=True)
class Decision:
    """Two records, by document id, and whether they are one entity."""

    left: str
    right: str
    verdict: Verdict
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """All decisions of a file, in file order."""

    made: Sequence[Decision] = ()

    @property
    def digest(self) -> str:
        """Digest of the verdicts; the order and the reasons do not matter."""
        return digest_of(
            *sorted(f"{d.verdict}\n{min(d.left, d.right)}\n{max(d.left, d.right)}" for d in self.made)
        )

    @property
    def same(self) -> list[tuple[str, str]]:
        return [(d.left, d.right) for d in self.made if d.verdict == "same"]

    @property
    def different(self) -> list[tuple[str, str]]:
        return [(d.left, d.right) for d in self.made if d.verdict == "different"]

    def renamed(self, names: Mapping[str, str]) -> Decisions:
        """The same decisions, with the ids that those in the file stand for."""
        return Decisions(
            tuple(
                replace(d, left=names.get(d.left, d.left), right=names.get(d.right, d.right))
                for d in self.made
            )
        )

    def about(self, members: Iterable[str]) -> list[Decision]:
        """The decisions that name one of the members."""
        known = set(members)
        return [d for d in self.made if d.left in known or d.right in known]


def load_decisions(path: Path | None) -> Decisions:
    """Read the file; without a path there are no decisions.

    Raises ConfigurationError, with the line number, when the file is missing or invalid.
    """
    if path is None:
        return Decisions()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            _require_columns(path, rows.fieldnames or ())
            return Decisions(tuple(_decision(path, rows.line_num, row) for row in rows))
    except OSError as error:
        raise ConfigurationError(
            f"INGEST_ENTITY_DECISIONS={path} cannot be read: {error.strerror}."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(
            f"INGEST_ENTITY_DECISIONS={path} is not a CSV file in UTF-8: {error}."
        ) from error


def load_labels(path: Path) -> dict[str, str]:
    """Labels, one "id,cluster" per line: which records really are one entity. Raises ConfigurationError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"id", "cluster"} <= set(rows.fieldnames or ()):
                raise ConfigurationError(f"INGEST_ENTITY_LABELS={path} needs the columns id and cluster.")
            labels = {row["id"]: row["cluster"] for row in rows}
            if any(not (key and cluster) for key, cluster in labels.items()):
                raise ConfigurationError(f"INGEST_ENTITY_LABELS={path}: a line has no id or no cluster.")
            return labels
    except OSError as error:
        raise ConfigurationError(f"INGEST_ENTITY_LABELS={path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(
            f"INGEST_ENTITY_LABELS={path} is not a CSV file in UTF-8: {error}."
        ) from error


def pair_counts(labels: dict[str, str], entity_of: dict[str, str]) -> tuple[int, int, int]:
    """Pairs of labelled records: correctly joined, joined at all, and those that should be joined."""
    both: dict[tuple[str, str], int] = defaultdict(int)
    found: dict[str, int] = defaultdict(int)
    true: dict[str, int] = defaultdict(int)
    for record, label in labels.items():
        if (entity := entity_of.get(record)) is not None:
            both[entity, label] += 1
            found[entity] += 1
            true[label] += 1
    correct, joined, expected = (
        sum(n * (n - 1) // 2 for n in counts.values()) for counts in (both, found, true)
    )
    return correct, joined, expected


def _require_columns(path: Path, present: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS[:3] if name not in present]:
        raise ConfigurationError(
            f"INGEST_ENTITY_DECISIONS={path} lacks {', '.join(missing)}. "
            f"Its first line must be: {','.join(COLUMNS)}"
        )


def _decision(path: Path, line: int, row: dict[str, str | None]) -> Decision:
    left, right, verdict, who, why = ((row.get(name) or "").strip() for name in COLUMNS)
    if not left or not right or left == right or verdict not in get_args(Verdict):
        raise ConfigurationError(
            f"INGEST_ENTITY_DECISIONS={path}, line {line}: needs two different document ids and the verdict "
            f"same or different, not {left!r}, {right!r}, {verdict!r}."
        )
    return Decision(left, right, verdict, who, why)  # type: ignore[arg-type]  # checked above

"""A matching model: what training leaves behind, and all that a pair's score depends on besides the pair.

What belongs here: the value, its JSON form and the model that ships with the package. What does not:
Splink (see `splink_engine`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, Self

from ingest_assets.entities import comparisons, features
from ingest_assets.model import ConfigurationError, IdentityKind, digest_of

# Bits of mean weight from which two clusters are joined, by models that were trained. Below 0 for people:
# records that are worth comparing at all match more often than the prior of two random ones says. Sites of
# one organisation share its name and telephone number. Both are the best on labelled data of those that
# keep precision (docs/performance.md).
JOIN_AT: dict[IdentityKind, float] = {"person": -1.5, "organisation": 1.0}
# A model that was not trained does not know how often records here agree by chance: it must be surer.
JOIN_AT_UNTRAINED = 1.0

Levels = tuple[tuple[float, float], ...]  # (m, u) from the strongest level to the weakest


@dataclass(frozen=True, slots=True)
class MatchModel:
    """Parameters of one kind of entity. Equal versions give equal scores."""

    kind: IdentityKind
    origin: Literal["default", "trained"]
    trained_on: int  # records
    prior: float  # probability that two random records are one entity
    levels: Mapping[str, Levels]  # by comparison, as `comparisons` has them, without the null level
    frequencies: Mapping[
        str, Mapping[str, float]
    ]  # share of records with a value, by column; the common ones
    rare: Mapping[str, float]  # the share that stands for every other value
    join_at: float  # bits of mean weight from which two clusters are joined

    @property
    def version(self) -> str:
        """Digest of the parameters."""
        return digest_of(self.to_json())

    def to_json(self, indent: int | None = None) -> str:
        """Sorted keys, so that equal models give equal text."""
        names = ("kind", "origin", "trained_on", "prior", "levels", "frequencies", "rare", "join_at")
        return json.dumps(
            {name: getattr(self, name) for name in names}, ensure_ascii=False, sort_keys=True, indent=indent
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ConfigurationError when it is of other comparisons than the present code's."""
        data: dict[str, Any] = json.loads(text)
        data["levels"] = {name: tuple((m, u) for m, u in levels) for name, levels in data["levels"].items()}
        model = cls(**data)
        if set(model.levels) != set(comparisons.FIELDS[model.kind]):
            raise ConfigurationError(
                f"The stored matching model of kind {model.kind} is of another version. Train it anew: "
                "run the job train_match_models."
            )
        return model


def scoring_digest(versions: Iterable[str]) -> str:
    """Digest of models, by their versions, and of the code that applies them: equal ones, equal scores."""
    return digest_of(features.VERSION, comparisons.VERSION, *versions)


@lru_cache(maxsize=2)
def default_model(kind: IdentityKind) -> MatchModel:
    """The model that holds until there is data to train one. Made by `tools/make_match_defaults.py`."""
    return MatchModel.from_json(files(__package__).joinpath(f"defaults/{kind}.json").read_text("utf-8"))

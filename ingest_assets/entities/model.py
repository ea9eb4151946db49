"""A matching model: the result of training, and all that a pair's score depends on besides the pair itself.

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

# Mean weight in bits from which trained models join two clusters. Nothing is joined below even odds. It is
# higher
# for organisations, because different sites share a name and a telephone number.
JOIN_AT: dict[IdentityKind, float] = {"person": 0.0, "organisation": 1.0}
# An untrained model does not know how often records here agree by chance, so it needs stronger evidence.
JOIN_AT_UNTRAINED = 1.0

Levels = tuple[tuple[float, float], ...]  # (m, u) from the strongest level to the weakest


@dataclass(frozen=True, slots=True)
class MatchModel:
    """Parameters for one kind of entity. Equal versions give equal scores."""

    kind: IdentityKind
    origin: Literal["default", "trained"]
    trained_on: int  # records
    prior: float  # probability that two random records are one entity
    levels: Mapping[str, Levels]  # by comparison, as in `comparisons`, without the null level
    frequencies: Mapping[str, Mapping[str, float]]  # by column: the share of records with each common value
    rare: Mapping[str, float]  # by column: the share assumed for every other value
    join_at: float  # mean weight in bits from which two clusters are joined
    compared_by: str = ""  # the version of features and comparisons that the parameters are for
    system: str = ""  # where the records that it was trained on are from; "" for sample data

    @property
    def version(self) -> str:
        """Digest of the parameters."""
        return digest_of(self.to_json())

    def to_json(self, indent: int | None = None) -> str:
        """Sorted keys, so that equal models give equal text."""
        names = (
            "kind",
            "origin",
            "trained_on",
            "prior",
            "levels",
            "frequencies",
            "rare",
            "join_at",
            "compared_by",
            "system",
        )
        return json.dumps(
            {name: getattr(self, name) for name in names}, ensure_ascii=False, sort_keys=True, indent=indent
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ConfigurationError when the model has different comparisons from the current code."""
        data: dict[str, Any] = json.loads(text)
        data["levels"] = {name: tuple((m, u) for m, u in levels) for name, levels in data["levels"].items()}
        model = cls(**data)
        if model.compared_by != method():
            raise ConfigurationError(
                f"The stored matching model of kind {model.kind} is from another version. Train it again: "
                "run `ingest entity train`."
            )
        return model

    @staticmethod
    def fits(text: str) -> bool:
        """Whether a stored model is for the comparisons of the current code."""
        return bool(json.loads(text).get("compared_by") == method())


def method() -> str:
    """The version of how records are compared."""
    return f"{features.VERSION}.{comparisons.VERSION}"


def scoring_digest(versions: Iterable[str]) -> str:
    """Digest of the models' versions and of the code that applies them: equal digests mean equal scores."""
    return digest_of(features.VERSION, comparisons.VERSION, *versions)


@lru_cache(maxsize=2)
def default_model(kind: IdentityKind) -> MatchModel:
    """The model used until there is enough data to train one. Made by `tools/make_match_defaults.py`."""
    return MatchModel.from_json(files(__package__).joinpath(f"defaults/{kind}.json").read_text("utf-8"))

"""The Splink settings of each kind of entity, and the names and columns of its comparisons.

What belongs here: what training and scoring must know about both kinds. What does not: the comparisons
themselves, which are in `people` and `organisations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ingest_assets.entities import organisations, people
from ingest_assets.model import IdentityKind

if TYPE_CHECKING:
    from splink import SettingsCreator

# Bump when the same model gives a different score.
VERSION = "4"
# The probability that two random records are one entity. A trained model has its own.
PRIOR = 2.0**-14
# Columns whose common values are weaker evidence than rare ones.
TERM_FREQUENCIES: Mapping[IdentityKind, tuple[str, ...]] = {
    "person": ("given", "family", "place", "organisation"),
    "organisation": ("name", "place"),
}
# The comparisons by name, and the columns shown to people for each of them.
FIELDS: Mapping[IdentityKind, Mapping[str, tuple[str, ...]]] = {
    "person": {
        "given": ("given",),
        "family": ("family",),
        "generation": ("generation",),
        "birth_date": ("birth_date",),
        "reach": ("emails", "family_emails", "phones", "address"),
        "place": ("postcode", "place"),
        "identifier": ("identifiers",),
        "work": ("organisation", "title", "hosts"),
    },
    "organisation": {
        "name": ("name",),
        "domain": ("domains",),
        "reach": ("phones", "emails"),
        "address": ("address", "postcode", "place"),
        "identifier": ("identifiers",),
    },
}


def settings(kind: IdentityKind) -> SettingsCreator:
    """The untrained settings of one kind of entity. Splink does not do the blocking; see `blocking`."""
    from splink import SettingsCreator

    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="id",
        comparisons=list(people.comparisons() if kind == "person" else organisations.comparisons()),
        probability_two_random_records_match=PRIOR,
        em_convergence=0.001,
        max_iterations=15,
    )

"""The classes of entities and the predicates that are known, however they are spelled.

What belongs here: their names and their spelling. What does not: what a class or predicate means to merging.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

SAME_AS = "SAME_AS"
# Those of the old extractors' bundles and of their schema. Others can be given by a caller.
CLASSES = (
    "AdverseEvent",
    "AnatomicalStructure",
    "Anatomy",
    "Assessment",
    "Author",
    "BiologicalConcept",
    "BiologicalProcess",
    "BiologicalStructure",
    "Biomarker",
    "Cell",
    "CellLine",
    "Chemical",
    "ChemicalProcess",
    "Classification",
    "ClinicalScore",
    "ClinicalTrial",
    "Concept",
    "Device",
    "DiagnosticTest",
    "Disease",
    "Drug",
    "EnvironmentalFactor",
    "Enzyme",
    "Ethnicity",
    "Gene",
    "GenomicRegion",
    "Hormone",
    "Hypothesis",
    "Institution",
    "Location",
    "Method",
    "Microorganism",
    "Molecule",
    "Mutation",
    "Organism",
    "Outcome",
    "Paper",
    "Pathogen",
    "Pathway",
    "Phenotype",
    "PhysicalProcess",
    "PhysicalProperty",
    "Physiology",
    "Population",
    "Procedure",
    "Protein",
    "RiskFactor",
    "Species",
    "Subtype",
    "Symptom",
    "Therapy",
    "Treatment",
    "Variant",
)
_NOT_LETTERS = re.compile(r"[^0-9a-z]+")
_PREDICATE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def _plain(name: str) -> str:
    return _NOT_LETTERS.sub("", name.casefold())


_BY_PLAIN_NAME = {_plain(name): name for name in CLASSES}


def known_classes(more: Iterable[str] = ()) -> dict[str, str]:
    """The known classes and more, by their names in small letters without blanks."""
    return _BY_PLAIN_NAME | {_plain(name): name for name in more if _plain(name) not in _BY_PLAIN_NAME}


def class_named(name: str, known: dict[str, str] | None = None) -> str | None:
    """The class as we write it: "BiologicalProcess" for "Biological_Process". None for an unknown one.

    `known` is from `known_classes`; without it, only those of `CLASSES` are known.
    """
    return (_BY_PLAIN_NAME if known is None else known).get(_plain(name))


@lru_cache(maxsize=4_096)
def predicate_named(name: str) -> str | None:
    """The predicate as we write it: "SAME_AS" for "same as". None if that is not a predicate's form."""
    spelled = re.sub(r"[\s_-]+", "_", name.strip()).upper()
    return spelled if _PREDICATE.fullmatch(spelled) else None

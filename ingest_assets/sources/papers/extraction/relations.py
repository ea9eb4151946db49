"""What a sentence says of two of the names in it.

What belongs here: patterns between two names, negation, names that merely stand in one sentence. What does
not: finding the names (`names`), collecting what several sentences say (`rules`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

PATTERN_CONFIDENCE = 0.5
COOCCURRENCE_CONFIDENCE = 0.3
COOCCURRENCE = "ASSOCIATED_WITH"
MAX_GAP_CHARS = 120  # between the two names of a pattern
MAX_TO_WORDS_CHARS = 60  # between a name and the words of the pattern
MAX_NAMES = 12  # a sentence with more names is a list, and says little of each pair
NEGATION_WINDOW = 30  # characters before the first name


class Argument(NamedTuple):
    """A name within a sentence."""

    start: int  # in the sentence
    end: int
    entity: str  # its id in the bundle
    entity_class: str


class Statement(NamedTuple):
    """What a sentence says: `confidence` tells a pattern from a co-occurrence."""

    subject: str
    predicate: str
    object: str
    confidence: float


class _Pattern(NamedTuple):
    words: re.Pattern[str]
    predicate: str
    subjects: frozenset[str]
    objects: frozenset[str]
    passive: bool  # "X is inhibited by Y": the second name does it


def _pattern(predicate: str, pair: str, *words: str, passive: bool = False) -> _Pattern:
    subjects, objects = pair.split(" > ")
    return _Pattern(
        re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE),
        predicate,
        frozenset(subjects.split()),
        frozenset(objects.split()),
        passive,
    )


_UP, _DOWN = (
    r"(?:increase[sd]?|increasing|elevate[sd]?)",
    r"(?:reduce[sd]?|reducing|decrease[sd]?|lower(?:s|ed)?)",
)
_BE = r"(?:(?:is|are|was|were|been|being) )?"
# In this order: the first that fits is what the sentence says of the two.
_PATTERNS = (
    _pattern(
        "TREATS",
        "Drug > Disease",
        r"(?:treated|managed|controlled|alleviated) (?:with|by|using)",
        r"respond(?:s|ed)? to",
        passive=True,
    ),
    _pattern(
        "TREATS",
        "Drug > Disease",
        r"treat(?:s|ing)?",
        r"(?:in|for) the (?:treatment|management|therapy) of",
        r"(?:treatment|therapy) (?:of|for)",
        r"(?:indicated|approved) for",
        r"alleviate[sd]?",
        r"effective (?:in|against|for)",
    ),
    _pattern("PREVENTS", "Drug > Disease", r"prevent(?:s|ed|ing)?", r"(?:(?:for|in) the )?prevention of"),
    _pattern(
        "INCREASES_RISK",
        "Disease Gene Drug > Disease",
        rf"(?:{_UP}|higher|high|greater) (?:the |an? )?(?:\w+ )?(?:risks?|susceptibility|likelihood)",
        r"(?:risk factors?|increased risks?) (?:of|for)",
        r"predispos\w+ (?:\w+ )?to",
        r"confers? (?:\w+ )?(?:risk|susceptibility)",
    ),
    _pattern(
        "REDUCES_RISK",
        "Drug Gene > Disease",
        rf"{_DOWN} (?:the )?(?:risks?|likelihood|incidence)(?: of| for)?",
        r"protects? against",
    ),
    _pattern(
        "CAUSES",
        "Gene Drug Disease > Disease",
        rf"{_BE}(?:caused|induced) by",
        r"due to",
        r"results? from",
        r"resulting from",
        passive=True,
    ),
    _pattern(
        "CAUSES",
        "Gene Drug Disease > Disease",
        r"caus(?:es?|ed|ing)",
        r"leads? to",
        r"led to",
        r"result(?:s|ed|ing)? in",
        r"gives? rise to",
        r"responsible for",
    ),
    _pattern("INHIBITS", "Drug Gene > Gene", r"(?:inhibited|suppressed|blocked|repressed) by", passive=True),
    _pattern(
        "INHIBITS",
        "Drug Gene > Gene Disease",
        r"inhibit(?:s|ed|ing)?",
        r"(?:inhibitors?|antagonists?) of",
        r"suppress(?:es|ed|ing)?",
        r"block(?:s|ed|ing)?",
    ),
    _pattern("ACTIVATES", "Drug Gene > Gene", r"(?:activated|stimulated) by", passive=True),
    _pattern(
        "ACTIVATES", "Drug Gene > Gene", r"activat(?:es?|ed|ing)", r"stimulat(?:es?|ed|ing)", r"agonists? of"
    ),
    _pattern("PHOSPHORYLATES", "Gene > Gene", r"phosphorylated by", passive=True),
    _pattern("PHOSPHORYLATES", "Gene > Gene", r"phosphorylat(?:es?|ing)"),
    _pattern(
        "UPREGULATES",
        "Drug Gene > Gene",
        r"up-?regulat(?:es?|ed|ing)",
        rf"{_UP} (?:the )?(?:\w+ )?expression of",
    ),
    _pattern(
        "DOWNREGULATES",
        "Drug Gene > Gene",
        r"down-?regulat(?:es?|ed|ing)",
        rf"{_DOWN} (?:the )?(?:\w+ )?expression of",
    ),
    _pattern("REGULATES", "Gene Drug > Gene", r"(?:regulated|modulated|mediated) by", passive=True),
    _pattern(
        "REGULATES",
        "Gene Drug > Gene Disease",
        r"regulat(?:es?|ed|ing)",
        r"modulat(?:es?|ed|ing)",
        r"mediates?",
    ),
    _pattern("TARGETS", "Drug > Gene Disease", r"target(?:s|ed|ing)?"),
    _pattern("PROMOTES", "Gene Drug > Disease", r"promot(?:es?|ed|ing)", r"drives?", r"accelerat(?:es?|ed)"),
    _pattern("INDUCES", "Drug Gene > Disease Gene", r"induc(?:es?|ed|ing)"),
    _pattern(
        "INTERACTS_WITH",
        "Gene Drug > Gene",
        r"interact(?:s|ed|ing)? (?:\w+ )?with",
        r"binds?(?: directly)?(?: to)?",
        r"bound to",
        r"complex(?:es)? with",
    ),
    _pattern("SUBTYPE_OF", "Disease > Disease", r"(?:is|are) an? (?:\w+ )?(?:(?:sub)?type|form) of"),
    _pattern(
        "ASSOCIATED_WITH",
        "Disease Drug Gene > Disease Drug Gene",
        r"(?:associated|correlated|linked|correlates?) with",
        r"associations? (?:of|between|with)",
        r"linked to",
        r"(?:implicated|involved) in",
        r"plays? (?:an? )?(?:\w+ )?role in",
        r"mutations? in",
    ),
)
_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|without|lack(?:s|ed|ing)?|absence of|fail(?:s|ed)? to|unable to|cannot"
    r"|unlikely|rather than|independent(?:ly)? of|unrelated to)\b|n't\b",
    re.IGNORECASE,
)
# What says that the sentence asks or plans, and states nothing.
_HYPOTHESIS = re.compile(
    r"\b(?:whether|aim(?:s|ed)? to|we (?:hypothesi[sz]e|investigate)d?"
    r"|to (?:investigate|examine|evaluate|assess|determine|explore)|unclear|unknown|remains? to be)\b|\?\Z",
    re.IGNORECASE,
)
# What turns what follows a verb into its contrary: "induced a decrease in".
_CONTRARY = re.compile(
    r"\b(?:decreases?|reductions?|loss|inhibit\w*|degradation|suppression)\b", re.IGNORECASE
)
_LISTED = re.compile(r"\s*(?:,|/|and|or|,\s*and|,\s*or|as well as|\([^()]*\)|\(|\))\s*\Z")


def statements(sentence: str, arguments: Sequence[Argument]) -> Iterator[Statement]:
    """What the sentence says of pairs of its names, in their order.

    A pattern holds between neighbours: no other name stands between them, except in a list. A denied or asked
    statement is none, and is no co-occurrence either.
    """
    if len(arguments) > MAX_NAMES or _HYPOTHESIS.search(sentence):
        return
    spoken: set[frozenset[str]] = set()
    for at, left in enumerate(arguments):
        for right in arguments[at + 1 :]:
            pair = frozenset({left.entity, right.entity})
            if left.entity == right.entity or pair in spoken:
                continue
            said = _said(sentence, arguments, at, right)
            if said is not None or _negated(sentence, left, right):
                spoken.add(pair)
            if said is not None:
                yield said


def _said(sentence: str, arguments: Sequence[Argument], at: int, right: Argument) -> Statement | None:
    left = arguments[at]
    if _negated(sentence, left, right):
        return None
    if _together(sentence, arguments, at, right):
        stated = _stated(sentence[left.end : right.start], left, right)
        if stated is not None:
            return stated
    if left.entity_class == right.entity_class:
        return None
    subject, other = _ordered(left, right)
    return Statement(subject, COOCCURRENCE, other, COOCCURRENCE_CONFIDENCE)


def _together(sentence: str, arguments: Sequence[Argument], at: int, right: Argument) -> bool:
    """Whether what stands between the two is about them: short, and the names within it belong to a list."""
    left = arguments[at]
    if right.start - left.end > MAX_GAP_CHARS or ";" in sentence[left.end : right.start]:
        return False
    others = [each for each in arguments[at + 1 :] if each.start < right.start]
    # "A, B and C cause D", "A causes B, C and D": the gaps beside one of the two are those of a list.
    gaps = [sentence[one.end : two.start] for one, two in pairwise([left, *others, right])]
    return all(map(_LISTED.match, gaps[1:])) or all(map(_LISTED.match, gaps[:-1]))


def _stated(between: str, left: Argument, right: Argument) -> Statement | None:
    for pattern in _PATTERNS:
        match = pattern.words.search(between)
        if match is None or max(match.start(), len(between) - match.end()) > MAX_TO_WORDS_CHARS:
            continue
        if _CONTRARY.search(between, match.end()):
            return None
        subject, other = (right, left) if pattern.passive else (left, right)
        if subject.entity_class in pattern.subjects and other.entity_class in pattern.objects:
            return Statement(subject.entity, pattern.predicate, other.entity, PATTERN_CONFIDENCE)
    return None


def _negated(sentence: str, left: Argument, right: Argument) -> bool:
    """Whether a "no" or "not" stands between the two or shortly before the first."""
    before = re.split(r"[,;:]", sentence[max(0, left.start - NEGATION_WINDOW) : left.start])[-1]
    return bool(_NEGATION.search(sentence, left.end, right.start) or _NEGATION.search(before))


def _ordered(left: Argument, right: Argument) -> tuple[str, str]:
    """What acts comes first: a drug, then a gene, then a disease."""
    rank = {"Drug": 0, "Gene": 1, "Disease": 2}
    first, second = sorted((left, right), key=lambda each: rank[each.entity_class])
    return first.entity, second.entity

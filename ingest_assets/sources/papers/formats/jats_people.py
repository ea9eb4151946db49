"""The authors of a JATS article, with what their cross-references lead to: affiliations and addresses.

What belongs here: who wrote it. What does not: everything else that it says of itself (`jats_front`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ingest_assets.sources.papers.article import Author
from ingest_assets.sources.papers.formats.jats_text import (
    Node,
    below,
    child_of,
    clipped,
    flat,
    line_of,
    name_of,
)

# In front of an affiliation: the sign of its references. Behind it: initials, numbers of telephones.
_SIGN = re.compile(r"^(?:\d{1,3}|[a-z*†‡§¶#])\s+(?=[A-Z])")
_TRAILER = re.compile(r"\s*;\s*(?:\([^)]*\)|(?:e-?mails?|tel|fax|phone)\b[.:]).*$", re.IGNORECASE | re.DOTALL)
_INITIALS = re.compile(r"\(([^()]{1,40})\)")
_SEPARATORS = " ,;"


class _Letter(NamedTuple):
    """An address, with the text around it up to those before and behind it."""

    address: str
    before: str
    behind: str


def authors_of(meta: Node) -> tuple[Author, ...]:
    """Its authors in order. Editors and reviewers are none."""
    people = [(node, name) for node in _contributors(meta) if (name := _name(node))]
    affiliations = list(below(meta, "aff"))
    boxes = list(below(meta, "corresp"))
    by_id = {node.get("id"): node for node in (*affiliations, *boxes) if node.get("id")}
    alone = len(people) == 1
    # With one affiliation and no reference to it, it is everybody's.
    referred_to = [by_id[each] for node, _ in people for each in _referred(node) if each in by_id]
    times = Counter(referred_to)
    common = affiliations if len(affiliations) == 1 and affiliations[0] not in times else []
    authors = []
    for node, name in people:
        own = list(below(node, "aff"))
        own += [by_id[each] for each in _referred(node) if each in by_id]
        of_author = [each for each in own if name_of(each) == "aff"] or common
        if not alone:
            nearest = [each for each in own if name_of(each) == "corresp"]
            shared = {each for each in nearest if times[each] > 1}
            letters = [*(nearest or (boxes if node.get("corresp") == "yes" else [])), *of_author]
        else:
            shared, letters = set(), [*boxes, *affiliations]
        texts = map(_affiliation, of_author)
        authors.append(
            Author(
                name=clipped(name),
                email=_own_address(node) or _address(name, letters, shared, alone=alone),
                affiliations=tuple(dict.fromkeys(text for text in texts if text)),
            )
        )
    return tuple(authors)


def _contributors(meta: Node) -> Iterator[Node]:
    for group in meta:
        if name_of(group) != "contrib-group":
            continue
        for node in group:
            kind = node.get("contrib-type") or group.get("content-type") or "author"
            if name_of(node) == "contrib" and kind.removesuffix("s").lower() in {"author", "collab"}:
                yield node


def _referred(node: Node) -> list[str]:
    """The ids that a contributor's cross-references name; one may name several."""
    return [each for ref in node if name_of(ref) == "xref" for each in ref.get("rid", "").split()]


def _name(node: Node) -> str:
    """Given name first."""
    found = child_of(node, "name", "string-name", "collab", "name-alternatives", "collab-alternatives")
    if found is not None and name_of(found).endswith("-alternatives"):
        found = child_of(found, "name", "string-name", "collab")
    if found is None:
        return ""
    if name_of(found) == "collab":
        return flat(found, "contrib-group", "aff", "xref", "fn", "email")
    given, family = flat(child_of(found, "given-names")), flat(child_of(found, "surname"))
    parts = (flat(child_of(found, "prefix")), given, family, flat(child_of(found, "suffix")))
    return " ".join(filter(None, parts)) if given or family else flat(found)


def _affiliation(node: Node) -> str:
    """Without its sign, without numbers in registers, and without what else is put behind it."""
    printed = [each for each in node if each.get("content-type") == "original"]  # beside its parts
    text = flat(printed[0] if printed else node, "label", "institution-id", "email", "xref")
    text = _TRAILER.sub("", re.sub(r"\s+([,;])", r"\1", _SIGN.sub("", text)))
    return clipped(re.sub(r"([,;])(?:\s*[,;])+", r"\1", text).strip(_SEPARATORS))


# --- Addresses ----------------------------------------------------------------------------------------------


def _own_address(node: Node) -> str:
    """An address that stands with the author."""
    inner = (each for part in node if name_of(part) != "aff" for each in below(part, "email"))
    return next(map(line_of, inner), "")


def _address(name: str, boxes: list[Node], shared: set[Node], *, alone: bool) -> str:
    """The author's address among those of what they refer to: the only one, or the one with their name."""
    for box in boxes:
        letters = _letters(box)
        if len(letters) == 1 and (alone or (name_of(box) == "corresp" and box not in shared)):
            return letters[0].address
        for letter in letters:
            if _is_of(letter, name):
                return letter.address
    return ""


def _letters(box: Node) -> list[_Letter]:
    texts, addresses = [box.text or ""], []
    for node in box.iterdescendants():
        if name_of(node) == "email":
            addresses.append(line_of(node))
            texts.append("")
        elif name_of(node):
            texts[-1] += f" {node.text or ''}"
        texts[-1] += f" {node.tail or ''}"
    return [_Letter(each, texts[i], texts[i + 1]) for i, each in enumerate(addresses) if each]


def _is_of(letter: _Letter, name: str) -> bool:
    """Whether an address stands behind the family name, or before the initials."""
    family = re.escape(name.rsplit(maxsplit=1)[-1])
    if re.search(rf"\b{family}\b", letter.before, re.IGNORECASE):
        return True
    initials = "".join(part[0] for part in re.split(r"[\s.\-‐]+", name) if part).upper()  # noqa: RUF001
    said = _INITIALS.search(letter.behind)
    if said is None:
        return False
    named = re.search(rf"\b{family}\b", said[1], re.IGNORECASE)
    return named is not None or re.sub(r"\W", "", said[1]) == initials

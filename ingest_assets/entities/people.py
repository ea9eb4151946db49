"""How two people are compared.

What belongs here: the comparisons and their levels; see `levels` for what they are made of. One fact counts
once:
members of a household share address, telephone, town and often a mailbox, which are one piece of evidence,
and
colleagues share a domain, an employer and a town. A name inside an address is the name again. Whether two
people
may be members of one household, or colleagues, is seen from names, suffixes and dates of birth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.entities.levels import (
    alike,
    beside,
    comparison,
    exact,
    first,
    fixed,
    identifier,
    missing,
    otherwise,
    same,
    shares,
    similar,
    sql,
    when,
)

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator

    from ingest_assets.entities.levels import Level

# Given and family name swapped, one of them perhaps misspelt.
_SWAPPED = (
    "(given_l = family_r and jaro_winkler_similarity(family_l, given_r) >= 0.85) or "
    "(family_l = given_r and jaro_winkler_similarity(given_l, family_r) >= 0.85)"
)
_ONE_IDENTIFIER = "coalesce(list_has_any(identifiers_l, identifiers_r), false)"
# Julia and Julie may be sisters, although both may be short for a third name.
_OTHER_ENDING = "coalesce(given_stem_l = given_stem_r and given_own_l <> given_own_r, false)"
_SHORT_FORM = f"(coalesce(list_has_any(given_forms_l, given_forms_r), false) and not {_OTHER_ENDING})"
_INITIAL = (
    "least(length(given_l), length(given_r)) <= 2 and "
    "(left(given_l, length(given_r)) = given_r or left(given_r, length(given_l)) = given_l)"
)


_GIVEN = ("given", "given_forms", "given_own", "given_stem", "middle")


def _are_other_names(column: str) -> str:
    """SQL: two known names that are no spellings of each other, and not a slip of two letters."""
    slip = (
        f"damerau_levenshtein({column}_l, {column}_r) = 1 and levenshtein({column}_l, {column}_r) = 2 "
        f"and right({column}_l, 1) = right({column}_r, 1)"
    )
    return when(f"{column}_own_l <> {column}_own_r", f"not ({slip})")


_FAR = "jaro_winkler_similarity(given_l, given_r) < 0.75"
_ACROSS = "coalesce(given_l = family_r or family_l = given_r, false)"
_OTHER_GIVEN = when(
    f"not {_SHORT_FORM} and not {_ONE_IDENTIFIER} and not {_ACROSS}", _are_other_names("given")
)
_OTHER_MIDDLE = when(f"not {_ONE_IDENTIFIER}", "coalesce(middle_l <> middle_r, false)")
# Clearly different, and no word that may be the other one mistyped.
_DIFFERENT_GIVEN = when(
    f"given_l <> given_r and not {_SHORT_FORM} "
    f"and not {_ONE_IDENTIFIER} and not {_ACROSS} and not ({_INITIAL})",
    when(_FAR, f"damerau_levenshtein(given_l, given_r) > 2 or {_are_other_names('given')}"),
)
_OTHER_FAMILY = when(f"not {_ONE_IDENTIFIER} and not {_ACROSS}", _are_other_names("family"))
_OTHER_GENERATION = "coalesce(generation_l, '') <> coalesce(generation_r, '')"
_OTHER_AGE = when(
    "abs(birth_day_l - birth_day_r) > 5479", "damerau_levenshtein(birth_date_l, birth_date_r) > 1"
)
# What they share may be a household's or an office's.
_TWO_PEOPLE = (
    f"({_DIFFERENT_GIVEN} or {_OTHER_GIVEN} or {_OTHER_MIDDLE} or {_OTHER_GENERATION} or {_OTHER_AGE})"
)
_ONLY_FAMILY_NAME = when(same("family"), _DIFFERENT_GIVEN)
_SWAPPED_DATE = (
    "left(birth_date_l, 4) = left(birth_date_r, 4) and substr(birth_date_l, 6, 2) = right(birth_date_r, 2) "
    "and right(birth_date_l, 2) = substr(birth_date_r, 6, 2)"
)
_ONE_HOST = "coalesce(list_has_any(hosts_l, hosts_r), false)"
_ONE_EMAIL = "coalesce(list_has_any(emails_l, emails_r), false)"
_FAMILY_EMAIL = "coalesce(list_has_any(family_emails_l, family_emails_r), false)"
_ONE_PHONE = "coalesce(list_has_any(phones_l, phones_r), false)"
_COLLEAGUES = f"({_ONE_HOST} or coalesce(organisation_l = organisation_r, false))"
# One mailbox is what the other one's name makes.
_ONE_NAME_INSIDE = (
    "(coalesce(list_has_any(locals_l, name_mailboxes_r), false) "
    "or coalesce(list_has_any(locals_r, name_mailboxes_l), false) "
    "or coalesce(list_has_any(locals_l, locals_r), false))"
)
_NUMBERED = "coalesce(list_has_any(stems_l, stems_r) and not list_has_any(locals_l, locals_r), false)"
# Two addresses of their own at one domain.
_TWO_ADDRESSES = when(
    f"{_ONE_HOST} and not {_ONE_EMAIL} and locals_l is not null and locals_r is not null",
    f"{_TWO_PEOPLE} or {_OTHER_FAMILY} or {_NUMBERED} "
    f"or name_mailboxes_l is not null and name_mailboxes_r is not null and not {_ONE_NAME_INSIDE}",
)
_EMAIL, _OTHER_EMAIL = first("emails")
_SIMILAR_EMAIL = when(
    f"levenshtein({_EMAIL}, {_OTHER_EMAIL}) <= 2 and length({_EMAIL}) > 10",
    f"not {_TWO_PEOPLE} and not {_OTHER_FAMILY} "
    f"and (not {_ONE_HOST} or {_ONE_NAME_INSIDE} or coalesce(handle_l <> handle_r, false))",
)
_SAME_HOUSE = "coalesce(door_l = door_r, false)"


def comparisons() -> list[ComparisonCreator]:
    """Names, date of birth, contact details, place, identifiers and work."""
    return [*_names(), _birth(), _reach(), _place(), identifier(), _work()]


def _names() -> list[ComparisonCreator]:
    own = ("family", "family_own", "family_parts")
    return [
        comparison(
            "given",
            missing("given"),
            (sql("other middle names", beside(_OTHER_MIDDLE, *_GIVEN)), *fixed(-6)),
            (exact("given", frequency=True), 0.72, 0.006),
            (
                sql("given and family name swapped", beside(_SWAPPED, *_GIVEN)).configure(
                    tf_adjustment_column="given"
                ),
                0.02,
                0.00003,
            ),
            (sql("a short form", _SHORT_FORM), 0.07, 0.004),
            (sql("an initial", _INITIAL), 0.04, 0.01),
            # Members of a household or an office share everything but this.
            (sql("a different one", beside(_DIFFERENT_GIVEN, *_GIVEN)), *fixed(-11)),
            (sql("another name, however alike", beside(_OTHER_GIVEN, *_GIVEN)), *fixed(-5)),
            (similar("given", 0.9), 0.08, 0.004),
            (similar("given", 0.8), 0.03, 0.015),
            (otherwise(), 0.04, 0.961),
        ),
        comparison(
            "family",
            _missing_or_swapped(),
            (sql("the family name alone", beside(_ONLY_FAMILY_NAME, *own)), *fixed(0.5)),
            (exact("family", frequency=True), 0.755, 0.004),
            (sql("a part of it", shares("family_parts")), 0.02, 0.0004),
            (
                sql("another name, however alike", when(alike("family", 0.8), beside(_OTHER_FAMILY, *own))),
                *fixed(-3),
            ),
            (similar("family", 0.9), 0.12, 0.004),
            (similar("family", 0.8), 0.04, 0.02),
            (otherwise(), 0.065, 0.9716),
        ),
        comparison(
            "generation",
            _no_generation(),
            (sql("the same of a line of namesakes", same("generation")), *fixed(1)),
            (sql("another one, such as Jr and Sr", "generation_l <> generation_r"), *fixed(-12)),
            (otherwise("only one says which"), *fixed(-8)),
        ),
    ]


def _no_generation() -> Level:
    condition = "generation_l is null and generation_r is null"
    return sql("nothing to compare", condition).configure(is_null_level=True), None, None


def _missing_or_swapped() -> Level:
    """Swapped names are one observation, which counts for the given name and not again here."""
    condition = f"family_l is null or family_r is null or {beside(_SWAPPED, 'family')}"
    return sql("nothing to compare, or swapped", condition).configure(is_null_level=True), None, None


def _birth() -> ComparisonCreator:
    return comparison(
        "birth_date",
        missing("birth_date"),
        (
            sql(
                "the same birth date, as twins have",
                when(same("birth_date"), beside(f"not {_ONE_EMAIL} and {_TWO_PEOPLE}")),
            ),
            *fixed(3),
        ),
        (exact("birth_date"), 0.85, 0.0001),
        (sql("day and month swapped", _SWAPPED_DATE), 0.02, 0.0001),
        (sql("one digit off", "damerau_levenshtein(birth_date_l, birth_date_r) <= 1"), 0.07, 0.0015),
        (sql("within a month", _days_apart(31)), 0.01, 0.002),
        (sql("within a year", _days_apart(366)), 0.015, 0.025),
        (sql("within ten years", _days_apart(3653)), 0.015, 0.21),
        (sql("more than fifteen years apart", beside(_OTHER_AGE, "birth_date", "birth_day")), *fixed(-8)),
        (otherwise(), 0.01, 0.1),
    )


def _days_apart(days: int) -> str:
    return f"abs(birth_day_l - birth_day_r) <= {days}"


def _reach() -> ComparisonCreator:
    own = ("emails", "family_emails", "phones", "address", "door", "handle", "locals", "stems")
    shared = f"({_ONE_PHONE} or {_ONE_EMAIL} or {_FAMILY_EMAIL} or {_SAME_HOUSE})"
    work_phone = when(
        f"{_ONE_PHONE} and {_ONE_HOST}", f"{same('family')} and {_TWO_ADDRESSES} and not {_TWO_PEOPLE}"
    )
    two, one_person = beside(_TWO_PEOPLE), beside(f"not {_DIFFERENT_GIVEN}")
    return comparison(
        "reach",
        _nothing_to_reach(),
        (sql("e-mail address", when(_ONE_EMAIL, one_person)), 0.45, 0.00003),
        (sql("a similar e-mail address", beside(_SIMILAR_EMAIL, *own)), 0.05, 0.0002),
        (sql("telephone number, but two addresses at one domain", beside(work_phone, *own)), *fixed(0)),
        (sql("two addresses at one domain", beside(_TWO_ADDRESSES, *own)), *fixed(-13)),
        (sql("a household's or an office's", when(shared, two)), *fixed(1)),
        (sql("telephone number", _ONE_PHONE), 0.15, 0.00005),
        (sql("a family's mailbox", _FAMILY_EMAIL), 0.04, 0.00005),
        (sql("an office", f"{_SAME_HOUSE} and {beside(_COLLEAGUES)}"), *fixed(1)),
        (sql("house number and street", _SAME_HOUSE), 0.08, 0.0005),
        (sql("mailbox at another domain", same("handle")), 0.03, 0.0001),
        (
            sql(
                "another form of the name at one domain", beside(f"{_ONE_HOST} and {_ONE_NAME_INSIDE}", *own)
            ),
            *fixed(1),
        ),
        (
            sql("a similar address or mailbox", f"{alike('address', 0.9)} or {alike('handle', 0.9)}"),
            0.04,
            0.002,
        ),
        (otherwise(), 0.2, 0.99712),
    )


def _nothing_to_reach() -> Level:
    emails = "(emails_l is null and family_emails_l is null or emails_r is null and family_emails_r is null)"
    others = " and ".join(f"({c}_l is null or {c}_r is null)" for c in ("phones", "address"))
    return sql("nothing to compare", f"{emails} and {others}").configure(is_null_level=True), None, None


def _place() -> ComparisonCreator:
    """A town that follows from the house or the employer says nothing more."""
    nowhere = " and ".join(f"({c}_l is null or {c}_r is null)" for c in ("place", "postcode"))
    follows = f"{beside(f'({_SAME_HOUSE} or {_COLLEAGUES})')} and ({same('postcode')} or {same('place')})"
    nothing = sql(
        "nothing to compare, or the house's or employer's", f"({nowhere}) or coalesce({follows}, false)"
    )
    return comparison(
        "place",
        (nothing.configure(is_null_level=True), None, None),
        (sql("postcode", same("postcode")), 0.45, 0.004),
        (exact("place", frequency=True), 0.3, 0.04),
        (sql("a similar place", f"{alike('place', 0.9)} or {alike('postcode', 0.9)}"), 0.07, 0.02),
        (otherwise(), 0.18, 0.936),
    )


def _work() -> ComparisonCreator:
    """An employer, by name or by the domain of an address; not by an address that counts already."""
    host = beside(when(f"{_ONE_HOST} and not {_ONE_EMAIL}", f"not {_SIMILAR_EMAIL}"))
    nowhere = " and ".join(f"({c}_l is null or {c}_r is null)" for c in ("organisation", "title"))
    nothing = sql("nothing to compare", f"{nowhere} and not {host}").configure(is_null_level=True)
    return comparison(
        "work",
        (nothing, None, None),
        (exact("organisation", frequency=True), 0.5, 0.003),
        (similar("organisation", 0.9), 0.12, 0.004),
        (sql("domain", host), 0.1, 0.0006),
        (sql("title", same("title")), 0.08, 0.03),
        (otherwise(), 0.2, 0.963),
    )

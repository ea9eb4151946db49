"""Times as CRMs hold them, read as ISO 8601: what a mapping says of their form, else what is unambiguous.

A wrong date is worse than none: what could be two dates is none (7/12/2024), so is what could be another sort
of number (an Excel serial, a Julian day), and what no CRM means (0000-00-00, the year 9999, Unix time 0).

What belongs here: one value to one time, with nothing else as evidence. What does not: the clock, other rows,
and what is told of the values that were not read (`readings`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cached_property

from ingest_assets.sources.crm.month_names import MONTHS

FIRST_YEAR, LAST_YEAR = 1900, 2100
# What programs write when there is no time: the first moments of their calendars.
_PLACEHOLDERS = frozenset([(1900, 1, 1), (1901, 1, 1), (1970, 1, 1)])
# Numbers that are Unix time beyond doubt begin in July 1998. Below lie the seconds since 2001 of Apple's
# programs and .NET's ticks, in other units days of spreadsheets and astronomers.
_FIRST_EPOCH, _LAST_EPOCH = 900_000_000, 4_102_444_800  # seconds; the end of 2099
_UNITS = {"unix": 1, "unix_ms": 1_000, "unix_us": 1_000_000, "unix_ns": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's days have no zone
_EXCEL_FIRST_MARCH = 61  # before it, spreadsheets count a 29th of February 1900 that there was not
_JULIAN_OF_1970 = 2_440_587.5
_LONGEST = 100  # characters of a time
_MONTHS_A_YEAR, _NOON, _MINUTES = 12, 12, 60
_US_OFFSETS = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_UTC_NAMES = {"Z", "UT", "UTC", "GMT"}

_ZONE = r"(?P<zone>Z|UTC?|GMT|[ECMP][SD]T|(?:UTC|GMT)?[+-]\d{2}:?(?:\d{2})?)(?:\s*\([\w\s/+:-]{1,40}\))?"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AP])\.?M\.?)?"
)
_LATER = rf"(?:(?:,?\s+(?:at\s+)?|T){_CLOCK}(?:\s*{_ZONE})?)?"
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,?\s+)?"
_MONTH = r"(?P<name>[^\W\d_]{3,10})\.?"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_ISO = _pattern(r"\d{4}-?(?:\d\d-?\d\d|W\d\d-?\d|\d{3})(?:[T _].+)?")
_ORDINAL = _pattern(r"(\d{4})-?(\d{3})")
_BRACKETS = re.compile(r"\[[\w/+-]{1,40}\]$")  # a zone's name after its offset, as Java writes it
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º)?"
_WRITTEN = (
    _pattern(rf"{_WEEKDAY}{_DAY}[\s-](?:(?:of|de)\s)?\s?{_MONTH}[\s,-]\s?(?:de\s)?(?P<year>\d{{4}}){_LATER}"),
    _pattern(rf"{_WEEKDAY}{_MONTH}[\s-]{_DAY}[\s,-]\s?(?P<year>\d{{4}}){_LATER}"),
    # As C's ctime and the Unix command write it.
    _pattern(rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}})\s+{_CLOCK}(?:\s+{_ZONE})?\s+(?P<year>\d{{4}})"),
    _pattern(rf"(?P<year>\d{{4}})[\s-]{_MONTH}[\s-](?P<day>\d{{1,2}}){_LATER}"),
    _pattern(rf"(?P<year>\d{{4}})(?P<by>[-/.])(?P<month>\d{{1,2}})(?P=by)(?P<day>\d{{1,2}}){_LATER}"),
)
_EITHER = _pattern(rf"(?P<one>\d{{1,2}})(?P<by>[-/.])(?P<other>\d{{1,2}})(?P=by)(?P<year>\d{{4}}){_LATER}")
_JSON_DATE = re.compile(r"/?Date\((-?\d{1,15})(?:[+-]\d{4})?\)/?")
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,12})?")
_DIGITS = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?")
_HOURS = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)")

Value = str | int | float
# A date without a time stays one.
Moment = datetime | date


@dataclass(frozen=True)
class TimeReader:
    """Reads the times of one kind of document.

    `formats` are words of `WORDS` and patterns of strptime, tried in their order; then text that can only be
    one time is read without. `zone` is that of times that name none.
    """

    formats: tuple[str, ...] = ()
    zone: tzinfo | None = None

    def read(self, value: Value) -> str | None:
        """ISO 8601, or None. A date stays a date; a time without a zone, if none is known, has none."""
        try:
            moment = next(filter(None, self._readings(value)), None)
            return None if moment is None else self._written(moment)
        except (ValueError, OverflowError):
            return None  # outside the calendar

    def _readings(self, value: Value) -> Iterator[Moment | None]:
        text = value.strip() if isinstance(value, str) else value
        if isinstance(text, str) and len(text) > _LONGEST:
            return
        for form in self._forms:
            yield form(text)
        if isinstance(text, str) and not _NUMBER.fullmatch(text):
            yield _of_text(text, numeric=not self.says_order)
        elif not self.formats:
            yield _of_number(text)

    @cached_property
    def _forms(self) -> list[Callable[[Value], Moment | None]]:
        return [WORDS.get(each) or _by_pattern(each) for each in self.formats]

    @property
    def says_order(self) -> bool:
        """Whether a format says which of day and month comes first: then no other order is read."""
        return any("%" in each for each in self.formats)

    def _written(self, moment: Moment) -> str | None:
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            return None
        if (moment.year, moment.month, moment.day) in _PLACEHOLDERS and not _has_time(moment):
            return None
        if isinstance(moment, datetime):
            if moment.tzinfo is None and self.zone is not None:
                moment = moment.replace(tzinfo=self.zone)
            moment.astimezone(UTC)  # raises OverflowError at the ends of the calendar
        return moment.isoformat()


def _has_time(moment: Moment) -> bool:
    return isinstance(moment, datetime) and (moment.hour, moment.minute, moment.second) != (0, 0, 0)


def _tried(read: Callable[[Value], Moment | None]) -> Callable[[Value], Moment | None]:
    """The same, with None for what is outside the calendar, so that the next form is tried."""

    def tried(value: Value) -> Moment | None:
        try:
            return read(value)
        except (ValueError, OverflowError):
            return None

    return tried


def _by_pattern(pattern: str) -> Callable[[Value], Moment | None]:
    timed = re.search(r"%[HIMSfpcXsT]", pattern) is not None

    def read(value: Value) -> Moment | None:
        found = datetime.strptime(_spelled(value), pattern)  # noqa: DTZ007 - its zone comes later
        return found if timed else found.date()

    return _tried(read)


def _spelled(value: Value) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _number_of(value: Value) -> float | int | None:
    if not isinstance(value, str):
        return value if math.isfinite(value) else None
    if not _NUMBER.fullmatch(value):
        return None
    return float(value) if "." in value else int(value)


def _since(number: float, a_second: int) -> datetime:
    """Unix time. In whole numbers, because a float of a nanosecond count is off by a hundred of them."""
    if isinstance(number, int):
        return _EPOCH + timedelta(microseconds=number * 1_000_000 // a_second)
    return _EPOCH + timedelta(seconds=round(number / a_second, 6))


def _counted(count: Callable[[float], Moment | None]) -> Callable[[Value], Moment | None]:
    def read(value: Value) -> Moment | None:
        number = _number_of(value)
        return None if number is None else count(number)

    return _tried(read)


def _unix(a_second: int) -> Callable[[Value], Moment | None]:
    return _counted(lambda number: _since(number, a_second) if number else None)


def _excel(number: float) -> Moment | None:
    """Days since the end of 1899, in whatever zone the spreadsheet was."""
    if number < _EXCEL_FIRST_MARCH:
        return None
    moment = _EXCEL_EPOCH + timedelta(seconds=round(number * 86_400, 3))
    return moment if number % 1 else moment.date()


def _julian(number: float) -> Moment | None:
    """Julian days, as SQLite's julianday() gives them."""
    moment = _EPOCH + timedelta(seconds=round((number - _JULIAN_OF_1970) * 86_400, 3))
    return moment if number % 1 else moment.date()


def _digits(value: Value) -> Moment | None:
    """20260131, with the time behind it or not."""
    found = _DIGITS.fullmatch(_spelled(value))
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    if not found[4]:
        return date(year, month, day)
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - its zone comes later


def _of_number(value: Value) -> Moment | None:
    """A number that can only be one time: Unix time in any unit, or the digits of a date."""
    if isinstance(value, str) and (value.startswith(("+", "0")) or value.endswith(".")):
        return None
    if (digits := _tried(_digits)(value)) is not None and FIRST_YEAR <= digits.year <= LAST_YEAR:
        return digits
    number = _number_of(value)
    for a_second in _UNITS.values():
        if number is not None and _FIRST_EPOCH * a_second <= number < _LAST_EPOCH * a_second:
            return None if a_second == 1 and _is_hour(value) else _since(number, a_second)
    return None


def _is_hour(value: Value) -> bool:
    """Whether ten digits are a date and an hour as well: 2033010112."""
    found = _HOURS.fullmatch(_spelled(value))
    if found is None:
        return False
    try:
        datetime(*(int(part) for part in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return False
    return True


def _of_text(text: str, *, numeric: bool) -> Moment | None:
    """Text that can only be one time. `numeric`: with the month as a number behind or before the day too."""
    if (moment := _tried(_iso)(text)) is not None:
        return moment
    if found := _JSON_DATE.fullmatch(text):
        return _since(int(found[1]), 1_000)
    for pattern in _WRITTEN:
        if found := pattern.fullmatch(text):
            return _moment(found, *_day_of(found))
    found = _EITHER.fullmatch(text) if numeric else None
    if found is None:
        return None
    one, other = int(found["one"]), int(found["other"])
    if one > _MONTHS_A_YEAR or one == other:
        return _moment(found, other, one)
    return _moment(found, one, other) if other > _MONTHS_A_YEAR else None


def _iso(value: Value) -> Moment | None:
    text = _BRACKETS.sub("", str(value))
    if not _ISO.fullmatch(text):
        return None
    if found := _ORDINAL.fullmatch(text):
        return datetime.strptime(f"{found[1]} {found[2]}", "%Y %j").date()  # noqa: DTZ007
    moment = datetime.fromisoformat(text)
    return moment if ":" in text or "T" in text.upper() or " " in text else moment.date()


def _day_of(found: re.Match[str]) -> tuple[int, int]:
    """Month and day. Raises ValueError for a name of no month."""
    parts = found.groupdict()
    if parts.get("month"):
        return int(parts["month"]), int(parts["day"])
    month = MONTHS.get(parts["name"].casefold())
    if month is None:
        raise ValueError(f"{parts['name']} is no month")
    return month, int(parts["day"])


def _moment(found: re.Match[str], month: int, day: int) -> Moment:
    parts = found.groupdict()
    year = int(parts["year"])
    if parts.get("hour") is None:
        return date(year, month, day)
    hour = _hour(int(parts["hour"]), parts["half"])
    microsecond = int((parts["fraction"] or "").ljust(6, "0")[:6])
    clock = (hour, int(parts["minute"]), int(parts["second"] or 0), microsecond)
    return datetime(year, month, day, *clock, tzinfo=_zone(parts["zone"]))


def _hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    if not 1 <= hour <= _NOON:
        raise ValueError(f"no hour of half a day: {hour}")
    return hour % _NOON + (_NOON if half in "Pp" else 0)


def _zone(text: str | None) -> tzinfo | None:
    if text is None:
        return None
    name = text.upper()
    if name in _UTC_NAMES:
        return UTC
    if name in _US_OFFSETS:
        return timezone(timedelta(hours=_US_OFFSETS[name]))
    digits = re.sub(r"\D", "", name)
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if minutes >= _MINUTES:
        raise ValueError(f"no zone: {text}")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if "-" in name else offset)


# The words of `time_format`; anything else is a pattern of strptime.
WORDS: dict[str, Callable[[Value], Moment | None]] = {
    **{word: _unix(a_second) for word, a_second in _UNITS.items()},
    "excel": _counted(_excel),
    "julian": _counted(_julian),
    "yyyymmdd": _tried(_digits),
}


def require_format(text: str) -> str:
    """The format. Raises ValueError for one that is no word and gives no date."""
    if text in WORDS:
        return text
    sample = datetime(2024, 5, 31, 22, 41, 9)  # noqa: DTZ001 - any time whose parts all differ
    try:
        read = datetime.strptime(sample.strftime(text), text)  # noqa: DTZ007
    except (ValueError, re.error):
        read = None
    if read is None or read.date() != sample.date():
        words = ", ".join(WORDS)
        raise ValueError(f"{text!r} is neither one of {words} nor a pattern of a whole date such as %d/%m/%Y")
    return text


def formats_shown(formats: Sequence[str]) -> str:
    """For messages."""
    return ", ".join(formats) or "none"

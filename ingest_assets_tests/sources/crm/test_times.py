"""Times as CRMs write them: the right one, or none; never a wrong one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.crm.times import FIRST_YEAR, LAST_YEAR, WORDS, TimeReader, require_format

BERLIN = ZoneInfo("Europe/Berlin")
PLAIN = TimeReader()
DATES = st.dates(date(1902, 1, 1), date(2099, 12, 30)).filter(lambda day: day != date(1970, 1, 1))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2023-11-02", "2023-11-02"),
        ("20231102", "2023-11-02"),
        (20231102, "2023-11-02"),
        ("20231102140509", "2023-11-02T14:05:09"),
        ("2023-11-02 14:05", "2023-11-02T14:05:00"),
        ("2023-11-02T14:05:09,25Z", "2023-11-02T14:05:09.250000+00:00"),
        ("2023-11-02 14:05:09 UTC", "2023-11-02T14:05:09+00:00"),
        ("2023-11-02 14:05:09 -0530", "2023-11-02T14:05:09-05:30"),
        ("2023-11-02T14:05:09.123456789+01:00[Europe/Paris]", "2023-11-02T14:05:09.123456+01:00"),
        ("2023-W44-4", "2023-11-02"),
        ("2023-306", "2023-11-02"),
        ("2023/11/2", "2023-11-02"),
        ("2023.11.02 9:05", "2023-11-02T09:05:00"),
        ("Thu, 02 Nov 2023 14:05:09 +0100", "2023-11-02T14:05:09+01:00"),
        ("2 Nov 2023 14:05 EST", "2023-11-02T14:05:00-05:00"),
        ("Thu, 2 Nov 2023 14:05:09 -0700 (PDT)", "2023-11-02T14:05:09-07:00"),
        ("Thu Nov  2 14:05:09 2023", "2023-11-02T14:05:09"),
        ("November 2nd, 2023 at 2:05 pm", "2023-11-02T14:05:00"),
        ("Nov 2, 2023 12:05 AM", "2023-11-02T00:05:00"),
        ("02-NOV-2023", "2023-11-02"),
        ("2. März 2023", "2023-03-02"),
        ("2 de noviembre de 2023", "2023-11-02"),
        ("1er août 2023", "2023-08-01"),
        ("22.11.2023", "2023-11-22"),
        ("11/22/2023", "2023-11-22"),
        ("22/11/2023 14:05", "2023-11-22T14:05:00"),
        ("11-11-2023", "2023-11-11"),  # the same either way
        (1698933909, "2023-11-02T14:05:09+00:00"),
        ("1698933909", "2023-11-02T14:05:09+00:00"),
        ("1698933909000", "2023-11-02T14:05:09+00:00"),
        (1698933909000000, "2023-11-02T14:05:09+00:00"),
        (1698933909000000123, "2023-11-02T14:05:09+00:00"),
        (1698933909.5, "2023-11-02T14:05:09.500000+00:00"),
        ("/Date(1698933909000)/", "2023-11-02T14:05:09+00:00"),
    ],
)
def test_what_can_only_be_one_time(written: str | float, expected: str) -> None:
    assert PLAIN.read(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "7/12/2024", "05.06.2024", "1-2-2023",  # which is the month?
        "31.05.24", "2-NOV-23", "11/23", "2023", "2023-11", "Nov 2023", "12:30", "Thursday",
        45232, 45232.58, 2460251.09, "2460251.5",  # an Excel serial, Julian days
        720626709, 638345307090000000, 13343407509000000,  # of Apple, .NET, Chrome
        2033010112,  # an hour, or Unix time
        0, "0", -1, 1, "0000-00-00", "0000-00-00 00:00:00", "0001-01-01T00:00:00", "1900-01-01", "1970-01-01",
        "9999-12-31 23:59:59", "2999-01-01", "13/13/2023", "31.02.2023", "2023-02-29", "2023-13-01",
        "32 May 2023", "25:00", "2 Foo 2023", "n/a", "-", "", "tomorrow", "2023-11-02-14:05", "1e9",
        float("inf"), float("nan"), 1e300, "٢٠٢٣",
    ],
)  # fmt: skip
def test_what_could_be_several_times_or_is_none(written: str | float) -> None:
    assert PLAIN.read(written) is None


@pytest.mark.parametrize(
    ("formats", "written", "expected"),
    [
        (("%d/%m/%Y",), "7/12/2024", "2024-12-07"),
        (("%m/%d/%Y",), "7/12/2024", "2024-07-12"),
        (("%m/%d/%Y",), "22/11/2023", None),  # the format says that this cannot be
        (("%m/%d/%Y", "%m/%d/%y %I:%M %p"), "7/12/24 3:05 PM", "2024-07-12T15:05:00+02:00"),
        (("%m/%d/%Y",), "2023-11-02T14:05:00Z", "2023-11-02T14:05:00+00:00"),  # nothing else than it says
        (("excel",), 45232, "2023-11-02"),
        (("excel",), "45232.5", "2023-11-02T12:00:00+01:00"),
        (("excel",), 1698933909, None),
        (("julian",), 2460251.0, "2023-11-02"),
        (("julian",), 2460250.75, "2023-11-02T06:00:00+00:00"),
        (("unix",), 86_400, "1970-01-02T00:00:00+00:00"),
        (("unix",), 0, None),
        (("unix_ms",), "720626709000", "1992-11-01T14:05:09+00:00"),
        (("unix_us",), 1698933909000000, "2023-11-02T14:05:09+00:00"),
        (("yyyymmdd", "unix"), "20231102", "2023-11-02"),
        (("excel",), "2023-11-02", "2023-11-02"),
    ],
)
def test_what_a_format_says(formats: tuple[str, ...], written: str | float, expected: str | None) -> None:
    assert TimeReader(formats, BERLIN).read(written) == expected


def test_a_time_without_a_zone_is_of_the_zone_that_the_mapping_names() -> None:
    reader = TimeReader(zone=BERLIN)
    assert reader.read("2024-07-01 12:00") == "2024-07-01T12:00:00+02:00"
    assert reader.read("2024-01-01 12:00") == "2024-01-01T12:00:00+01:00"
    assert reader.read("2024-01-01 12:00Z") == "2024-01-01T12:00:00+00:00"
    assert reader.read("2024-01-01") == "2024-01-01"


@pytest.mark.parametrize("text", [*WORDS, "%d.%m.%Y", "%b %d %Y %H:%M"])
def test_formats(text: str) -> None:
    assert require_format(text) == text


@pytest.mark.parametrize("text", ["%d.%m", "%H:%M", "dd/mm/yyyy", "%Q", "%", "excel1904", ""])
def test_formats_that_give_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="neither one of unix"):
        require_format(text)


@given(DATES, st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y"]))
def test_a_date_of_digits_is_read_as_it_was_meant_or_not_at_all(day: date, form: str) -> None:
    written = day.strftime(form)
    assert PLAIN.read(written) in {None, day.isoformat()}
    assert TimeReader((form,)).read(written) == day.isoformat()


@given(
    st.datetimes(datetime(1998, 8, 1), datetime(2099, 12, 30)),  # noqa: DTZ001
    st.sampled_from([1, 1_000, 1_000_000, 10**9]),
)
def test_unix_time_in_any_unit_is_that_time_or_none(naive: datetime, a_second: int) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=0)
    count = int(moment.timestamp()) * a_second
    assert {PLAIN.read(count), PLAIN.read(str(count))} in ({moment.isoformat()}, {None})
    word = {1: "unix", 1_000: "unix_ms", 1_000_000: "unix_us", 10**9: "unix_ns"}[a_second]
    assert TimeReader((word,)).read(count) == moment.isoformat()


@given(st.datetimes(datetime(1902, 1, 1), datetime(2099, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_mail_dates(naive: datetime, minutes: int) -> None:
    from email.utils import format_datetime

    moment = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    found = PLAIN.read(format_datetime(moment))
    assert found is None or datetime.fromisoformat(found) == moment
    assert found is not None or (naive.year, naive.month, naive.day) == (1970, 1, 1)


@given(st.one_of(st.text(max_size=40), st.floats(), st.integers()))
def test_whatever_it_is_the_answer_is_a_plausible_time_or_none(value: str | float) -> None:
    for reader in (PLAIN, TimeReader(("%d/%m/%Y", *WORDS), BERLIN)):
        found = reader.read(value)
        assert found is None or FIRST_YEAR <= datetime.fromisoformat(found).year <= LAST_YEAR

"""Business days: where they begin, also over changes of the clock"""
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from payments_service.store.business_days import find_business_date

BERLIN, SANTIAGO, LOS_ANGELES = (ZoneInfo(f"{name}") for name in (
    "Europe/Berlin", "America/Santiago", "America/Los_Angeles",
))
ZONES = [
    "Africa/Casablanca", "America/Havana", "America/New_York", "America/Santiago", "America/St_Johns",
    "Antarctica/Troll", "Asia/Beirut", "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Europe/Berlin",
    "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "UTC",
]


def moment_of(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def find_begin(business_date, zone, ends):
    """Return the first minute of a business day, found minute by minute."""
    moment = datetime.combine(business_date - timedelta(days=1), time(0), timezone.utc)
    while find_business_date(moment, zone, ends) < business_date:
        moment += timedelta(minutes=30)
    return moment


@pytest.mark.parametrize(
    ("moment", "zone", "ends", "expected"),
    [
        ("2026-11-23T02:59:59.999999", BERLIN, time(4), "2026-11-22"),
        ("2026-11-23T03:00:00", BERLIN, time(4), "2026-11-23"),
        ("2026-03-08T11:00:00", LOS_ANGELES, time(4), "2026-03-08"),
        ("2026-03-08T10:59:59", LOS_ANGELES, time(4), "2026-03-07"),
        ("2026-09-06T03:59:59", SANTIAGO, time(0), "2026-09-05"),
        ("2026-09-06T04:00:00", SANTIAGO, time(0), "2026-09-06"),
        ("2026-11-22T23:59:59", timezone.utc, time(0), "2026-11-22"),
    ],
)
def test_a_moment_belongs_to_the_day_of_the_reference(moment, zone, ends, expected):
    assert find_business_date(moment_of(moment), zone, ends) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("day", "zone", "ends", "hours"),
    [
        ("2026-03-28", BERLIN, time(4), 23),
        ("2026-10-24", BERLIN, time(4), 25),
        ("2026-11-22", BERLIN, time(4), 24),
        ("2026-09-06", SANTIAGO, time(0), 23),
    ],
)
def test_a_day_over_a_clock_change_has_its_length(day, zone, ends, hours):
    begin = find_begin(date.fromisoformat(day), zone, ends)
    end = find_begin(date.fromisoformat(day) + timedelta(days=1), zone, ends)
    assert end - begin == timedelta(hours=hours)


def test_a_night_in_which_the_clock_is_set_back_has_one_day():
    begin = moment_of("2026-10-24T22:00:00")
    dates = [find_business_date(begin + timedelta(minutes=10 * step), BERLIN, time(2, 30)) for step in range(30)]
    assert dates == sorted(dates)
    assert set(dates) == {date(2026, 10, 24), date(2026, 10, 25)}


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(
    zone=st.sampled_from(ZONES),
    ends=st.times(max_value=time(11, 59)).map(lambda given: given.replace(second=0, microsecond=0)),
    moment=st.datetimes(datetime(2010, 1, 1), datetime(2037, 12, 31), timezones=st.just(timezone.utc)),
    later=st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_business_dates_never_go_back(zone, ends, moment, later):
    first, second = (find_business_date(point, ZoneInfo(zone), ends) for point in (moment, moment + later))
    assert first <= second <= first + timedelta(days=4)
    local = moment.astimezone(ZoneInfo(zone)).date()
    assert abs(first - local) <= timedelta(days=1)

"""Business days: they end at a time of the next morning, in a time zone."""
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from ..database import DayRule, current

ONE_DAY = timedelta(days=1)


def today() -> date:
    """Return the business date of now, by this machine's clock."""
    return find_date(datetime.now(timezone.utc))


def find_date(moment: datetime) -> date:
    """Return the business date of a moment, by the settings of the current application."""
    rule: DayRule = current.day_rule
    return find_business_date(moment, rule.time_zone, rule.ends)


def find_business_date(moment: datetime, time_zone: tzinfo, day_ends: time) -> date:
    """Return the latest date whose business day has begun at a moment.

    A day begins in the zone at `day_ends`, at the first of two such times where the clock is set back. The beginnings
    are compared in UTC: local times would go back to the day before in such a night.
    """
    local = moment.astimezone(time_zone).date()
    for business_date in (local + ONE_DAY, local):
        begin = datetime.combine(business_date, day_ends, time_zone).astimezone(timezone.utc)
        if begin <= moment:
            return business_date
    return local - ONE_DAY

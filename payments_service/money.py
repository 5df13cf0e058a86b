"""Conversion between decimal amounts (45.50) and whole minor units, such as cents or satoshis (4550)."""
from decimal import Decimal

# The largest value of a BIGINT column.
MAX_MINOR_UNITS = 2**63 - 1
# 10**18 minor units still fit into a BIGINT, so every amount can have a digit before the point.
MAX_DECIMALS = 18
# All bitcoin that can exist.
MAX_SAT = 2_100_000_000_000_000


class InvalidAmount(ValueError):
    """The currency cannot represent the amount. The message says why."""


def to_minor_units(amount: Decimal, currency: str, decimals: int) -> int:
    """Convert an amount to the minor units of a currency with that many decimals: 45.50 EUR is 4550.

    Raises `InvalidAmount` if the amount has more decimals than the currency, or does not fit into a BIGINT.
    """
    minor_units_per_unit: int = 10**decimals
    # Decimal arithmetic would round to the context's precision. Integers stay exact.
    numerator, denominator = amount.as_integer_ratio()
    minor_units, remainder = divmod(numerator * minor_units_per_unit, denominator)
    if remainder:
        raise InvalidAmount(f"{currency} has {decimals} decimals.")
    if minor_units > MAX_MINOR_UNITS:
        raise InvalidAmount(f"The largest amount in {currency} is {format_amount(MAX_MINOR_UNITS, decimals)}.")
    return minor_units


def to_positive_minor_units(amount: Decimal, currency: str, decimals: int) -> int:
    """Convert an amount as `to_minor_units` does; zero raises `InvalidAmount` too."""
    if not amount:
        raise InvalidAmount("Must be more than zero.")
    return to_minor_units(amount, currency, decimals)


def format_amount(minor_units: int, decimals: int) -> str:
    """Return minor units as the text of an amount with exactly that many decimals: 4550 with 2 decimals is 45.50."""
    if minor_units < 0:
        return f"-{format_amount(-minor_units, decimals)}"
    digits = str(minor_units).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits

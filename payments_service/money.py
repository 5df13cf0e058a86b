"""Amounts of money: exact decimals outside, whole minor units (cents, satoshi) inside."""
from decimal import Decimal

# What a BIGINT holds, and the decimals that leave it a digit before the point.
LARGEST_MINOR_UNITS = 2**63 - 1
MOST_DECIMALS = 18


class AmountRefused(ValueError):
    """The currency cannot hold the amount; the text tells why."""


def to_minor_units(amount: Decimal, currency: str, decimals: int) -> int:
    """Return `amount` of a currency with that many decimals in its minor units: 45.50 EUR is 4550.

    Raises `AmountRefused` if the amount has more decimals than the currency, or does not fit in 63 bits.
    """
    numerator, denominator = amount.as_integer_ratio()
    minor_units, rest = divmod(numerator * 10**decimals, denominator)
    if rest:
        raise AmountRefused(f"{currency} has {decimals} decimals.")
    if minor_units > LARGEST_MINOR_UNITS:
        raise AmountRefused(f"The largest amount in {currency} is {from_minor_units(LARGEST_MINOR_UNITS, decimals)}.")
    return minor_units


def from_minor_units(minor_units: int, decimals: int) -> Decimal:
    """Return the amount with exactly that many decimals: 4550 with 2 is 45.50."""
    return Decimal(text_of(minor_units, decimals))


def text_of(minor_units: int, decimals: int) -> str:
    """Return the same as text without an exponent, for lists, in which a Decimal for each amount takes long."""
    digits = str(minor_units).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits

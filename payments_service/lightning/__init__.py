"""Lightning nodes: invoices, whether they are paid, and rates. Knows nothing of the database and of Flask."""
from collections.abc import Mapping
from typing import Any

from ..errors import SettingError
from ..settings import PREFIX, PROJECT
from . import lnbits, phoenixd
from .backend import Backend, Health, Look, Offer

__all__ = ["Backend", "Health", "Look", "Offer", "make_backend"]


def make_backend(settings: Mapping[str, Any]) -> Backend | None:
    """Return the node that the settings name, None if they name none. Nothing is asked of it yet.

    It reads `LIGHTNING`, `LIGHTNING_URL` (None: the node's own default), `LIGHTNING_KEY` and `LIGHTNING_KEY_FILE`.
    Raises `SettingError` without a key, with two, or for a file that cannot be read.
    """
    if settings["LIGHTNING"] is None:
        return None
    key = _read_key(settings)
    if settings["LIGHTNING"] == lnbits.Lnbits.name:
        return lnbits.Lnbits(settings["LIGHTNING_URL"] or lnbits.DEFAULT_URL, key)
    return phoenixd.Phoenixd(settings["LIGHTNING_URL"] or phoenixd.DEFAULT_URL, key)


def _read_key(settings: Mapping[str, Any]) -> str:
    variable, key, file = f"{PREFIX}LIGHTNING_KEY", settings["LIGHTNING_KEY"], settings["LIGHTNING_KEY_FILE"]
    if bool(key) == bool(file):
        rule = "must not be set together: keep only one" if key else "are not set: the node needs a key"
        raise SettingError(f"{variable} and {variable}_FILE {rule}")
    if file:
        variable = f"{variable}_FILE {file}"
        try:
            key = (PROJECT / file).read_text(errors="replace")
        except (OSError, ValueError) as error:
            raise SettingError(f"{variable} cannot be read: {getattr(error, 'strerror', error)}") from None
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingError(f"{variable} must be one key of printable ASCII characters")
    return str(key)

"""The long list of `make bench`: that of the service, and the same rows written by a script"""
import contextlib
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple

from ..support.rows import Rows
from ..support.server import Server

# The bytes of one read. A slow reader pauses after each of the first parts: 1 MiB a second.
PART_BYTES = 64 * 1024
PAUSE = 1 / 16
SLOW_PARTS = 64

PAYMENTS = """
SELECT
    CAST(payment.id AS TEXT), CAST(method_id AS TEXT), CAST(currency_id AS TEXT), transaction_id, minor_units, decimals
FROM payment JOIN currency ON currency.id = currency_id ORDER BY payment.id
"""


class Listed(NamedTuple):
    """The seconds to a list's first byte and to its last, and the server's growth of memory in KiB."""

    first_byte: Any
    seconds: Any
    growth: int


def resident(server: Server) -> int:
    """Return the resident memory of a server in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1])


def read_list(server: Server, slow: bool = False) -> Listed:
    """Read the list of all payments. Raises `http.client.IncompleteRead` if it is cut off."""
    before = most = resident(server)
    began = perf_counter()
    with contextlib.closing(server.send("GET", "/payments")) as connection:
        response = connection.getresponse()
        part = response.read1(PART_BYTES)
        first_byte = perf_counter() - began
        pauses = SLOW_PARTS if slow else 0
        while part:
            most = max(most, resident(server))
            if pauses:
                sleep(PAUSE)
                pauses -= 1
            part = response.read1(PART_BYTES)
    return Listed(first_byte, perf_counter() - began, most - before)


def write_out(url: str) -> Any:
    """Write all payments as JSON as a script would, with ids as the database has them. Return the seconds."""
    rows = Rows(url)
    began = perf_counter()
    with open(os.devnull, "w") as out:
        separator = "["
        for payment_id, method_id, currency_id, transaction_id, minor_units, decimals in rows.execute(PAYMENTS):
            names = {"id": payment_id, "method_id": method_id, "currency_id": currency_id}
            text = json.dumps(names | {"transaction_id": transaction_id})
            # The json module does not support Decimal.
            out.write(f'{separator}{text[:-1]}, "amount": {Decimal(minor_units).scaleb(-decimals):f}}}')
            separator = ","
        out.write("]")
    rows.connection.close()
    return perf_counter() - began

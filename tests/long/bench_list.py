"""The long list of `make bench`: the service's, and the same rows written out in plain Python"""
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

# At most so much is read at once; a slow reader pauses after each of the first few, which is 1 MiB a second.
PART_BYTES = 64 * 1024
PAUSE = 1 / 16
SLOW_PARTS = 64

PAYMENTS = """
SELECT
    CAST(payment.id AS TEXT), CAST(method_id AS TEXT), CAST(currency_id AS TEXT), transaction_id, minor_units, decimals
FROM payment JOIN currency ON currency.id = currency_id ORDER BY payment.id
"""


class Listed(NamedTuple):
    """When a list's first byte came and its last, in seconds, and how many KiB of memory the server took meanwhile."""

    first_byte: Any
    seconds: Any
    growth: int


def resident(server: Server) -> int:
    """Return how much memory a server has, in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1])


def read_list(server: Server, slow: bool = False) -> Listed:
    """Read the list of all payments; raises `http.client.IncompleteRead` if it is broken off."""
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
    """Write all payments out as JSON as any script would, with ids as the database has them; return the seconds."""
    rows = Rows(url)
    began = perf_counter()
    with open(os.devnull, "w") as out:
        separator = "["
        for payment_id, method_id, currency_id, transaction_id, minor_units, decimals in rows.execute(PAYMENTS):
            names = {"id": payment_id, "method_id": method_id, "currency_id": currency_id}
            text = json.dumps(names | {"transaction_id": transaction_id})
            # json knows no Decimal.
            out.write(f'{separator}{text[:-1]}, "amount": {Decimal(minor_units).scaleb(-decimals):f}}}')
            separator = ","
        out.write("]")
    rows.connection.close()
    return perf_counter() - began

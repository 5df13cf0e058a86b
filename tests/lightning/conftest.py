"""Fixtures: a real LNbits, its price source, and services that use it"""
import contextlib
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from werkzeug import Request, Response
from werkzeug.serving import make_server

from ..support.server import Server
from ..support.serving import serving
from .lnbits import INSTALLED, Lnbits


@pytest.fixture(scope="session")
def prices() -> dict[str, str]:
    """Return what a bitcoin costs in each currency, as the JSON number of the price source. Tests change it."""
    return {}


@pytest.fixture(scope="session")
def lnbits(tmp_path_factory: pytest.TempPathFactory, prices: dict[str, str]) -> Iterator[Lnbits]:
    """Start a real LNbits with a price source of the tests' own."""
    if not (INSTALLED / "done").exists():
        pytest.skip("make lightning has not installed LNbits")

    @Request.application
    def quote(request: Request) -> Response:
        price = prices.get(request.path.rpartition("/")[2])
        return Response(f'{{"rates": {{"median": {price}}}}}') if price else Response("{}", 404)

    with contextlib.ExitStack() as started:
        source = started.enter_context(serving(make_server("127.0.0.1", 0, quote)))
        server = Lnbits(tmp_path_factory.mktemp("lnbits"), f"http://127.0.0.1:{source.port}")
        server.start()
        started.callback(server.stop)
        server.set_up()
        yield server


@pytest.fixture
def start_service(start_server: Callable[..., Server], lnbits: Lnbits) -> Callable[[], Server]:
    """Start services that use LNbits, on one database."""

    def start() -> Server:
        return start_server(LIGHTNING="lnbits", LIGHTNING_URL=lnbits.url, LIGHTNING_KEY=lnbits.restaurant.key)

    return start


@pytest.fixture
def invoice_path() -> str:
    """Return the path of an invoice that a till makes."""
    return f"/payments/lightning/{uuid4()}"

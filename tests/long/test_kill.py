"""A few kills: nothing acknowledged is lost or duplicated. `make soak` runs many"""
import pytest

from .soak import RUNS, run


@pytest.mark.parametrize("engine", RUNS)
def test_acknowledged_payments_survive_kills(engine):
    run(engine, kills=3, seed=1)

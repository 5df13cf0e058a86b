"""Nothing that was acknowledged is lost or doubled, whatever is killed; `make soak` does it for longer"""
import pytest

from .soak import RUNS, run


@pytest.mark.parametrize("engine", RUNS)
def test_acknowledged_payments_survive_kills(engine):
    run(engine, kills=3, seed=1)

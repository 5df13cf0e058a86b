"""A short run of the benchmark. `make bench` runs it long enough for meaningful figures"""
import pytest

from . import bench


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_line_of_the_benchmark_has_a_figure(monkeypatch, engine):
    smaller = {"FEW": 120, "SOME": 130, "MANY": 140, "ROUNDS": 1, "SECONDS": 1 / 8, "STARTS": 1, "LISTS": 1}
    smaller |= {"MIXED": 10, "PAID": 1, "TILL_SECONDS": 1 / 4, "DAY_SECONDS": 1 / 4, "FACTOR": 8}
    for name, small in smaller.items():
        monkeypatch.setattr(bench, name, small)
    figures = [line for line in bench.run(engine, seed=1) if line][4:]
    assert len(figures) == 26
    assert not [line for line in figures if not line[52:60].strip()[0].isdigit()]

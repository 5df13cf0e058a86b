"""A short run of the benchmark. `make bench` runs it long enough for meaningful figures"""
import pytest

from . import bench


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_line_of_the_benchmark_has_a_figure(monkeypatch, engine):
    smaller = {"FEW": 20, "SOME": 30, "MANY": 40, "ROUNDS": 1, "SECONDS": 1 / 4, "STARTS": 1, "LISTS": 1}
    for name, small in smaller.items():
        monkeypatch.setattr(bench, name, small)
    figures = [line for line in bench.run(engine, seed=1) if line][4:]
    assert len(figures) == 16
    assert not [line for line in figures if not line[52:60].strip()[0].isdigit()]

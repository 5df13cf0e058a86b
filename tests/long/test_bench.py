"""A short run of the benchmark. `make bench` runs it long enough for meaningful figures"""
import pytest

from . import bench


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_line_of_the_benchmark_has_a_figure(monkeypatch, engine):
    for name, small in {"FEW": 20, "MANY": 40, "ROUNDS": 1, "SECONDS": 1 / 4, "STARTS": 1, "LISTS": 1}.items():
        monkeypatch.setattr(bench, name, small)
    figures = [line for line in bench.run(engine, seed=1) if line][4:]
    assert len(figures) == 14
    assert not [line for line in figures if not line[52:60].strip()[0].isdigit()]

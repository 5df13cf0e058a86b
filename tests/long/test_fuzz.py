"""A short run of schemathesis. `make fuzz` runs a long one"""
from .fuzz import fuzz


def test_schemathesis_finds_no_violation(server, tmp_path):
    fuzz(server, tmp_path, examples=12, seed=1)

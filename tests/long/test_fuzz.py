"""The service keeps to its own document, whatever it is sent; `make fuzz` tries for longer"""
from .fuzz import fuzz


def test_schemathesis_finds_no_violation(server, tmp_path):
    fuzz(server, tmp_path, examples=25, seed=1)

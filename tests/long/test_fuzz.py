"""A short run of schemathesis. `make fuzz` runs a long one"""
from .fuzz import fuzz, serve_node


def test_schemathesis_finds_no_violation(start_server, tmp_path):
    with serve_node() as node:
        fuzz(start_server(**node), tmp_path, examples=12, seed=1)

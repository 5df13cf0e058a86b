"""The database engines that a test runs on: both, unless it has one of these marks"""
import pytest

on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)

# For tests whose subject never reaches the database: a second engine would test the same.
on_one_engine = on_sqlite

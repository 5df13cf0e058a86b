"""The order of the house: a module imports only from those before it"""
import ast
from pathlib import Path

import pytest

from ..support.project import PROJECT

PACKAGE = PROJECT / "payments_service"
ORDER = [
    "settings",
    "keys",
    "errors",
    "wire",
    "logs",
    "metrics",
    "origins",
    "access",
    "money",
    "examples",
    "schemas",
    "engines",
    "database",
    "models",
    "migrations",
    "store",
    "blueprints",
    "backups",
    "doctor",
    "cli",
    "server",
    "__init__",
]


def room(path: Path) -> str:
    """Return the module of the package that a file is or belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the package's modules that a file imports from, other than its own."""
    level_of_package = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if node.level == level_of_package:
            found |= {node.module.split(".")[0]} if node.module else set(names)
        elif node.level == 0 and (node.module or "").split(".")[0] == PACKAGE.name:
            found |= {node.module.split(".")[1]} if "." in node.module else set(names)
    return found - {room(path)}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_those_before_it(path):
    before = ORDER[: ORDER.index(room(path))]
    assert imports(path) <= set(before)


def test_imports_are_found_however_they_are_written():
    assert imports(PACKAGE / "store" / "payments.py") >= {"database", "models", "money", "errors"}
    assert imports(PACKAGE / "blueprints" / "payments.py") >= {"store", "access", "errors", "schemas", "examples"}
    assert imports(PACKAGE / "cli.py") >= {"access", "backups", "database", "doctor", "engines", "store", "errors"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "store").glob("*.py")), ids=lambda path: path.name)
def test_the_store_knows_nothing_of_http(path):
    assert "flask" not in path.read_text().lower()


@pytest.mark.parametrize("path", sorted((PACKAGE / "blueprints").rglob("*.py")), ids=lambda path: path.name)
def test_blueprints_know_nothing_of_the_database(path):
    assert not imports(path) & {"database", "models"}
    assert "peewee" not in path.read_text()


# Modules that handle no amounts of money. They may use binary floats, for seconds.
WITHOUT_AMOUNTS = {"logs", "metrics", "engines", "server"}


def test_no_amount_is_a_binary_float():
    package = [path for path in PACKAGE.rglob("*.py") if room(path) not in WITHOUT_AMOUNTS]
    for path in [*package, *(PROJECT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Name) and node.id == "float"), path
            assert not (isinstance(node, ast.Constant) and type(node.value).__name__ == "float"), path

"""The rules of the code: which module imports which, where money may not be a float, and how tests are named"""
import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.project import PROJECT

PACKAGE = PROJECT / "payments_service"
TESTS = PROJECT / "tests"

# A module imports only from those before it.
ORDER = [
    "errors",
    "settings",
    "money",
    "text",
    "codec",
    "metrics",
    "database",
    "models",
    "migrations",
    "store",
    "tokens",
    "lightning",
    "offering",
    "settling",
    "schemas",
    "web",
    "blueprints",
    "logs",
    "backups",
    "transfer",
    "seals",
    "doctor",
    "cli",
    "server",
    "__init__",
]

# The modules that handle amounts. The others may use float as the type of seconds.
MONEY = {"money", "codec", "models", "migrations", "store", "lightning", "schemas", "seals"}


def module_of(path: Path) -> str:
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
    return found - {module_of(path)}


def nodes(folder: Path) -> Iterator[tuple[Path, ast.AST]]:
    """Yield the nodes of all syntax trees of a folder, each with its file."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_those_before_it(path):
    before = ORDER[: ORDER.index(module_of(path))]
    assert imports(path) <= set(before)


def test_imports_are_found_however_they_are_written():
    assert imports(PACKAGE / "store" / "payments.py") >= {"database", "models", "money", "errors"}
    assert imports(PACKAGE / "blueprints" / "payments.py") >= {"store", "schemas", "tokens", "web"}
    assert imports(PACKAGE / "cli.py") >= {"backups", "database", "doctor", "store", "errors"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "store").glob("*.py")), ids=lambda path: path.name)
def test_the_store_knows_nothing_of_http(path):
    assert "flask" not in path.read_text().lower()


def test_the_store_can_be_imported_without_flask():
    web = ["flask", "webargs", "flask_smorest", "marshmallow"]
    code = f"import sys, payments_service.store; print([name for name in {web} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("path", sorted((PACKAGE / "blueprints").rglob("*.py")), ids=lambda path: path.name)
def test_blueprints_know_nothing_of_the_database(path):
    assert not imports(path) & {"database", "models"}
    assert "peewee" not in path.read_text()


@pytest.mark.parametrize("folder", [PACKAGE, TESTS], ids=lambda folder: folder.name)
def test_no_number_is_written_or_converted_as_a_float(folder):
    for path, node in nodes(folder):
        # Half a second is written as 1 / 2.
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), (path, node.lineno)
        assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "float"), (path, node.lineno)


def test_modules_that_handle_amounts_do_not_mention_float():
    for path, node in nodes(PACKAGE):
        if module_of(path) in MONEY:
            assert not (isinstance(node, ast.Name) and node.id == "float"), (path, node.lineno)


def test_the_modules_that_handle_amounts_exist():
    assert MONEY <= set(ORDER)


def test_names_of_tests_have_at_most_60_characters():
    functions = [node for _, node in nodes(TESTS) if isinstance(node, ast.FunctionDef)]
    names = [function.name for function in functions if function.name.startswith("test_")]
    assert names
    assert not [name for name in names if len(name) > 60]

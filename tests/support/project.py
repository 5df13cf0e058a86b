"""The project's folder, and the environment of processes that tests start"""
import os
from pathlib import Path

PROJECT = Path(__file__).parents[2]


# Containers often set it. Each of the hundreds of processes that tests start would compile the package anew, which
# takes a third of its start.
NO_CACHE = "PYTHONDONTWRITEBYTECODE"


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with exactly these settings of the service."""
    dropped = ("PAYMENTS_", NO_CACHE)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return inherited | {f"PAYMENTS_{name}": value for name, value in settings.items()}

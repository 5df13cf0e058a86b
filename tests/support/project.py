"""The project's folder, and the environment of processes that tests start"""
import os
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with exactly these settings of the service."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAYMENTS_")}
    return inherited | {f"PAYMENTS_{name}": value for name, value in settings.items()}

"""SQLite's files, and tracing what a process does to them"""
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path


def damage(file: Path, damaged: str) -> None:
    """Overwrite the "first page" or the "last page" of the payments' table, which has to have several."""
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'payment'").fetchone()
    connection.close()
    with open(file, "r+b") as opened:
        if damaged == "last page":
            # The last child of a table's first page, by SQLite's file format, section 1.6.
            opened.seek((page - 1) * 4096 + 8)
            page = int.from_bytes(opened.read(4), "big")
        opened.seek((page - 1) * 4096)
        opened.write(b"\xff" * 4096)


def can_trace() -> bool:
    """Tell whether strace is installed and may trace."""
    return bool(shutil.which("strace")) and subprocess.run(["strace", "-o", os.devnull, "true"]).returncode == 0


def mounted(source: Path, point: Path) -> list[str | Path]:
    """Return a command that runs a program where `source` is mounted at `point`, which no other process sees."""
    script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-ec", script, "sh", source, point]


def can_mount() -> bool:
    """Tell whether unshare is installed and may mount."""
    trial = mounted(Path(__file__), Path(__file__))
    return bool(shutil.which("unshare")) and subprocess.run([*trial, "true"], capture_output=True).returncode == 0

"""A wrong clock for a process, by libfaketime"""
import os
from datetime import timedelta
from pathlib import Path

import pytest

# Debian puts it into the folder of the machine's architecture.
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")


class FakeClock:
    """The clock of the processes that run below `command`; it can be set while they run. Monotonic time stays right."""

    def __init__(self, file: Path) -> None:
        self.file = file
        settings = {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": file,
            # It reads the file each time that a process asks for the time.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.command = ["env", *(f"{name}={value}" for name, value in settings.items())]
        self.set(timedelta())

    def set(self, ahead: timedelta) -> None:
        """Set the clock ahead of the right time, or behind it."""
        new = self.file.with_name(f"{self.file.name}.new")
        new.write_text(f"{ahead // timedelta(seconds=1):+d}")
        os.replace(new, self.file)

"""Exporting payments as CSV, which `import csv` reads again."""
import csv
from typing import TextIO

from ..backups import Progress
from ..store import exports, payments
from ..text import disarm
from .importing import ROWS_PER_STEP


def write(file: TextIO, progress: Progress) -> None:
    """Write every payment with its tickets and refunds to a file of text.

    No cell is one that a spreadsheet would run; `import csv` reads each as it was.
    """
    writer = csv.writer(file)
    writer.writerow(exports.Line._fields)
    total = payments.count()
    for done, line in enumerate(exports.iterate_lines(), 1):
        writer.writerow([disarm(cell) for cell in line])
        if done % ROWS_PER_STEP == 0:
            progress("Exporting", min(done, total), total)

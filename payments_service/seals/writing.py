"""Writing the archives of closings as files."""
import hashlib
from pathlib import Path

from .. import store
from ..backups.files import Progress, move_into_place, staging_folder

STEP = "Writing archives"
FILE_NAME = "closing-{}.jsonl"


def write_missing(directory: Path, progress: Progress) -> tuple[list[Path], list[str]]:
    """Write the archives that a folder lacks; return their files, and what is wrong, each in one line.

    A file has its name only when it is complete, has its closing's hash and is on the disk. An existing file is never
    replaced: one with other bytes is wrong, and so is a closing whose archive does not have its hash.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    faults: list[str] = []
    closings = store.closings.list_hashes()
    with staging_folder(directory) as staging:
        for done, (number, sealed) in enumerate(closings.items(), 1):
            path = directory / FILE_NAME.format(number)
            if path.exists():
                if hash_file(path) != sealed:
                    faults.append(f"{path} is not the archive of closing {number}: it was left as it is")
            elif _write(staging / path.name, number) != sealed:
                faults.append(f"closing {number} was changed: its archive does not have its hash, so {path} is missing")
            else:
                move_into_place(staging / path.name, path)
                written.append(path)
            progress(STEP, done, len(closings))
    return written, faults


def _write(path: Path, number: int) -> str:
    """Write an archive and return its hash."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for line in store.archives.write_lines(number):
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, as sha256sum prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

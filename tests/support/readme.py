"""Parts of the README"""
from .project import PROJECT

README = (PROJECT / "README.md").read_text()


def section(title: str) -> str:
    """Return a section of the README."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands(title: str) -> str:
    """Return the first block of commands of a section."""
    return section(title).partition("```sh\n")[2].partition("```")[0]

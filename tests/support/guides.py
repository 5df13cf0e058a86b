"""The README and the guides, and their sections"""
import re

from .project import PROJECT

DEPLOY = PROJECT / "payments_service" / "deploy"
DOCS = PROJECT / "payments_service" / "docs"
README = PROJECT / "README.md"
CONTRIBUTING = PROJECT / ".github" / "CONTRIBUTING.md"
API_GUIDE, EMBEDDING, INSTALLING, LIGHTNING, MOVING_IN, OPERATING = (
    DOCS / f"{name}.md" for name in ("api-guide", "embedding", "installing", "lightning", "moving-in", "operating")
)
PAGES = [README, CONTRIBUTING, *sorted(DOCS.glob("*.md"))]


def section(page, title):
    """Return what a page says under a heading of the second level."""
    text = page.read_text()
    assert f"\n## {title}\n" in text
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text, language):
    """Return the blocks of code in one language, without the indentation of a list around them."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indentation}", "", code, flags=re.MULTILINE) for indentation, code in found]


def rows(text):
    """Return the cells of each row of the tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]

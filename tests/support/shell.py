"""Commands of the guides, run as they are written but without root and in other places"""
import subprocess

from .project import PROJECT, environment

# What needs root or other users is left out: root's own commands do their work in folders of the test.
WITHOUT_ROOT = """
sudo() { if [ "$1" = -u ]; then shift 2; fi; "$@"; }
systemctl() { :; }
useradd() { :; }
install() {
  for argument do
    shift
    case $argument in -o|-g) skip=1;; *) if [ "${skip:-}" ]; then skip=; else set -- "$@" "$argument"; fi;; esac
  done
  command install "$@"
}
"""


def move(text: str, places: dict[str, str]) -> str:
    """Return a text with each key of `places` replaced by its value."""
    for place, replacement in places.items():
        text = text.replace(place, replacement)
    return text


def run_without_root(commands: str, places: dict[str, str]) -> str:
    """Run commands in other places; return what they print."""
    script = WITHOUT_ROOT + move(commands, places)
    result = subprocess.run(["sh", "-euc", script], cwd=PROJECT, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout

"""The packages that a Dockerfile installs by pip, as lines of a requirements.txt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_STEPS = re.compile(r"\s*(?:&&|\|\||;|\n)\s*")
_PIP = re.compile(r"(?:\S*/)?pip[\d.]*")
#: Options whose next word is theirs; of the first ones a requirements.txt has lines too.
_KEPT = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c", "-e": "-e", "--editable": "-e"} | {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
}
_DROPPED = re.compile(
    r"-[twdp]|--(?:target|prefix|root|wheel-dir|src|platform|progress-bar|no-binary|only-binary|implementation|abi|proxy"
    r"|python-version|trusted-host|timeout|retries|cache-dir|python|root-user-action|upgrade-strategy)"
)
#: What installs the rest, and is no requirement of the code.
_TOOLS = re.compile(
    r"(?:pip|wheel|setuptools|poetry|pipenv|uv|pdm|virtualenv|pip-tools|poetry-plugin-export)(?=$|[=<>~!\[])"
)
_OTHER_TOOLS = re.compile(r"\b(?:poetry|pipenv|pdm|rye)\s+(?:install|sync)\b|\buv\s+sync\b")
_PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")


def installs_otherwise(runs: Sequence[str]) -> bool:
    """Return whether another tool than pip installs what the project requires."""
    return any(_OTHER_TOOLS.search(run) for run in runs)


def required(run: str, words: Callable[[str], list[str]], local: Callable[[str], Path | None]) -> Iterator[str]:
    """Yield the lines; files and folders of the container by their places on this machine, others are left out.

    words: splits a shell's command. local: the place here of a path in the container.
    """
    for step in _STEPS.split(run):
        found = words(step)
        at = next((at for at, word in enumerate(found[:-1]) if _PIP.fullmatch(word)), None)
        if at is None or found[at + 1] not in ("install", "wheel"):
            continue
        for option, value in _arguments(found[at + 2 :]):
            if (line := _line(option, value, local)) is not None:
                yield line


def _arguments(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each requirement, with the option before it, which is empty for most."""
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if option in _KEPT:
            yield _KEPT[option], value if equals else next(rest, "")
        elif _DROPPED.fullmatch(option):
            if not equals:
                next(rest, "")
        elif re.match(r"-r.", word) and not word.startswith("--"):
            yield "-r", word[2:]
        elif not word.startswith("-"):
            yield "", word


def _line(option: str, value: str, local: Callable[[str], Path | None]) -> str | None:
    if not value or "$" in value:
        return None
    if option in ("-r", "-c"):
        place = local(value)
        return f"{option} {place}" if place is not None and place.is_file() else None
    if option.startswith("--"):
        return f"{option} {value}"
    folder, bracket, extras = value.partition("[")
    if option == "-e" or folder.startswith(".") or ("/" in folder and "://" not in folder):
        place = None if "://" in value else local(folder)
        is_project = place is not None and any((place / name).is_file() for name in _PROJECTS)
        return f"-e {place}{bracket}{extras}" if is_project else None
    return None if _TOOLS.match(value) or value.endswith((".whl", ".gz")) or value[0] in "><2|" else value

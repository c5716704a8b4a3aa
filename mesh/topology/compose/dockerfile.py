"""Reads from a Dockerfile what its image runs: where, with which variables, and which folders it is made of."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from mesh.topology.compose.pip_install import required
from mesh.topology.environment.interpolation import InterpolationError, interpolated

#: A command line: words, or a text for a shell.
Command = Sequence[str] | str

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_HEREDOC = re.compile(r"<<-?(['\"]?)(\w+)\1")


class Image(Struct, frozen=True):
    """What a stage of a Dockerfile makes.

    folder: the working folder in the container. copies: each path in the container with the one on this machine.
    runs: the commands that build it. requires: what these install by pip, as lines of a requirements.txt. base: the
    image that it starts from. takes_built: whether it copies from another stage or image.
    """

    base: str = ""
    folder: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    copies: tuple[tuple[str, Path], ...] = ()
    entrypoint: Command | None = None
    command: Command | None = None
    ports: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    takes_built: bool = False

    def local(self, path: str) -> Path | None:
        """Return the place on this machine of a path in the container; None if it was not copied from here."""
        wanted = PurePosixPath(posixpath.normpath(posixpath.join(self.folder, path)))
        for inside, place in reversed(self.copies):
            if wanted.is_relative_to(inside):
                found = place / wanted.relative_to(inside)
                if found.exists():
                    return found
        return next(self.around(path), None)

    def around(self, path: str) -> Iterator[Path]:
        """Yield the folders of this machine that have what was copied below this path where the container has it."""
        wanted = PurePosixPath(posixpath.normpath(posixpath.join(self.folder, path)))
        for inside, place in self.copies:
            below = (
                PurePosixPath(inside).relative_to(wanted).parts if PurePosixPath(inside).is_relative_to(wanted) else ()
            )
            if below and place.parts[-len(below) :] == below:
                yield Path(*place.parts[: -len(below)])


def read_dockerfile(
    file: Path, context: Path, target: str | None = None, args: Mapping[str, str] | None = None
) -> Image:
    """Return the image of a stage, the last one without a target. Raises OSError if the file cannot be read."""
    stages: dict[str, Image] = {}
    image = Image()
    given, arguments, current = dict(args or {}), dict[str, str](), ""
    for word, rest in _instructions(file.read_text("utf-8", "replace")):
        if word == "FROM":
            name, base = _stage(expanded(rest, arguments))
            if image.base and target in stages:
                break
            image = replace(stages[base], runs=()) if base in stages else Image(base)
            stages[name or str(len(stages))] = image
            current = name or str(len(stages) - 1)
            continue
        if word == "ARG":
            key, _, default = rest.partition("=")
            arguments[key.strip()] = given.get(key.strip(), _unquoted(expanded(default, arguments)))
            continue
        image = _with(image, word, rest, {**arguments, **image.env}, context, stages)
        if stages:
            stages[current] = image
    return stages.get(target or "", image)


def _with(
    image: Image, word: str, rest: str, known: Mapping[str, str], context: Path, stages: Mapping[str, Image]
) -> Image:
    """Return the image after one more instruction."""
    match word:
        case "WORKDIR":
            folder = posixpath.normpath(posixpath.join(image.folder, _unquoted(expanded(rest, known))))
            return replace(image, folder=folder)
        case "ENV":
            return replace(image, env={**image.env, **dict(_variables(rest, known))})
        case "COPY" | "ADD":
            text = expanded(rest, known)
            stage = stages.get(_from(text) or "")
            requires = (*image.requires, *(stage.requires if stage else ()))
            copies = (*image.copies, *_copies(text, image, context, stages))
            built = image.takes_built or _from(text) is not None
            return replace(image, copies=copies, requires=tuple(dict.fromkeys(requires)), takes_built=built)
        case "EXPOSE":
            return replace(image, ports=(*image.ports, *expanded(rest, known).split()))
        case "ENTRYPOINT":
            # As Docker does it: an entry point takes the command of the base image away.
            return replace(image, entrypoint=_command(rest), command=None)
        case "CMD":
            return replace(image, command=_command(rest))
        case "RUN":
            found = required(rest, lambda step: shell_words(expanded(step, known)), image.local)
            requires = tuple(dict.fromkeys((*image.requires, *found)))
            return replace(image, runs=(*image.runs, rest), requires=requires)
    return image


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in upper case with the rest of its lines joined, without comments."""
    lines = iter(text.replace("\r\n", "\n").split("\n"))
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        while line.rstrip().endswith("\\"):
            more = next(lines, None)
            if more is None:
                break
            if not more.lstrip().startswith("#"):
                line = line.rstrip()[:-1] + " " + more
        if not (found := _INSTRUCTION.match(line)):
            continue
        rest = found[2].strip()
        if found[1].upper() in ("RUN", "COPY") and (heredoc := _HEREDOC.search(rest)):
            rest = "\n".join([rest, *_until(lines, heredoc[2])])
        yield found[1].upper(), rest


def _until(lines: Iterator[str], end: str) -> Iterator[str]:
    for line in lines:
        if line.strip() == end:
            return
        yield line


def _stage(rest: str) -> tuple[str, str]:
    """Return the name of the stage, empty if it has none, and what it is built from."""
    words = [word for word in rest.split() if not word.startswith("--")]
    name = words[2] if len(words) > 2 and words[1].upper() == "AS" else ""
    return name, words[0] if words else ""


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Return the text with its variables replaced; as it is if it has forms that only a shell knows."""
    try:
        return interpolated(text, known.get)
    except InterpolationError:
        return text


def _unquoted(text: str) -> str:
    return " ".join(shell_words(text))


def shell_words(text: str) -> list[str]:
    """Return the words of a shell's text, split at spaces if its quotes do not match."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _variables(rest: str, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables of `ENV A=1 B=2`, or of the old form `ENV A 1`."""
    words = shell_words(rest)
    if words and "=" not in words[0]:
        yield words[0], expanded(rest.partition(words[0])[2].strip(), known)
        return
    for word in words:
        name, _, value = word.partition("=")
        yield name, expanded(value, known)


def _copies(rest: str, image: Image, context: Path, stages: Mapping[str, Image]) -> Iterator[tuple[str, Path]]:
    """Yield the places that are copied, files and folders; those of another stage as far as it has them from here."""
    words = _list(rest) or [word for word in shell_words(rest.partition("<<")[0]) if not word.startswith("--")]
    if len(words) < 2:
        return
    stage = _from(rest)
    to = posixpath.normpath(posixpath.join(image.folder, words[-1]))
    is_there = to == image.folder or any(inside == to and place.is_dir() for inside, place in image.copies)
    is_folder = is_there or words[-1].endswith(("/", "/.")) or words[-1] in (".", "./") or len(words) > 2
    for source in words[:-1]:
        found = _sources(source, context) if stage is None else _of_stage(stages.get(stage), source)
        for place in found:
            inside = posixpath.join(to, place.name) if place.is_file() and is_folder else to
            yield inside, place


def _from(rest: str) -> str | None:
    """Return the stage that a COPY takes its files from; None if it is the context."""
    return next((word.partition("=")[2] for word in rest.split() if word.startswith("--from=")), None)


def _sources(source: str, context: Path) -> list[Path]:
    relative = source.lstrip("/") or "."
    try:
        return sorted(context.glob(relative)) if re.search(r"[*?\[]", relative) else [context / relative]
    except (ValueError, NotImplementedError):
        return []


def _of_stage(stage: Image | None, source: str) -> list[Path]:
    found = stage.local(source) if stage else None
    return [found] if found else []


def _command(rest: str) -> Command:
    words = _list(rest)
    return rest if words is None else words


def _list(text: str) -> list[str] | None:
    """Return the texts of a list in JSON, or None for anything else."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return None
    return [str(item) for item in found] if isinstance(found, list) else None

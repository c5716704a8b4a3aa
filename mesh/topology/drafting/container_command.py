"""What a container starts, as mesh would start it on this machine: its Python program, or a command."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import dropwhile
from pathlib import Path

from msgspec import Struct, field

from mesh.errors import UsageError
from mesh.python_command import PythonCommand
from mesh.topology.compose.dockerfile import Command, expanded, shell_words
from mesh.topology.drafting.files import relative
from mesh.topology.drafting.program_root import Local, program_root

_SHELLS = frozenset({"sh", "bash", "ash", "dash"})
#: Programs that only start another one; the words up to `--`, or as many as stand here, are theirs.
_WRAPPERS = {"exec": 1, "env": 1, "nohup": 1, "command": 1, "poetry": 2, "uv": 2, "pipenv": 2, "pdm": 2, "rye": 2}
_IN_ENVIRONMENT = re.compile(r"(?:poetry|uv|pipenv|pdm|rye)\s+run\s+(?:--\S+\s+)*")
_WRAPPERS_TO_DASHES = frozenset({"tini", "dumb-init", "wait-for-it", "wait-for-it.sh", "wait-for", "wait-for.sh"})
_SYSTEM = re.compile(r"/(?:usr/(?:local/)?)?s?bin/")
#: Workers of gunicorn that patch the whole process, which others are in under mesh.
_OWN_LOOP = re.compile(r"(?:-k|--worker-class)[ =](?:eventlet|gevent\w*|tornado)\b")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
#: Splits a shell's text into its steps, with what stands between each two.
_STEPS = re.compile(r"\s*(&&|;|\n)\s*")
#: What makes a shell end as soon as one of its commands fails.
_STOPS = re.compile(r"\bset\s+-\w*e|\bset\s+-o\s+errexit|\A#![^\n]*[ \t]-\w*e")
#: A command that the next line goes on with.
_CONTINUED = re.compile(r"(&&|\|\|?)[ \t]*\n\s*")
#: Lines of a script that only prepare its shell.
_SHELL_ONLY = re.compile(r"(?:set|echo|printf|sleep|cd|export|source|chmod|chown|mkdir|cp|mv|rm|ln|touch)\b")
#: Steps of a shell's program that are no commands.
_CONTROL = re.compile(r"(?:if|while|until|for|case|function)\b|[{}()]|[\w:.-]+\s*\(\)")
#: Lines for which a script has to be run as a whole.
_WHOLE = re.compile(rf"{_CONTROL.pattern}|local\b|\.\s|\w+=")
#: A loop that waits until something answers, such as a database; mesh waits by itself.
_WAIT = re.compile(
    r"\b(?:while|until)\b(?P<condition>[^\n]*?)(?:;|\n)\s*do\s+(?:(?:sleep|echo|printf)\b[^;\n]*(?:;|\n)\s*)+done\b"
)
#: What is left of a condition for such a loop.
_EMPTY = re.compile(r"\bif\b[^\n]*?(?:;|\n)\s*then\s+(?:(?:echo|printf)\b[^;\n]*(?:;|\n)\s*|;\s*)*fi\b")
_ALL_ARGUMENTS = re.compile(r'(?:exec\s+)?"?\$[@*]"?')
#: The same by a variable that the script has put them into.
_IN_VARIABLE = re.compile(r'(?:exec\s+)?"?\$\{?([A-Za-z_]\w*)\}?"?')


class Started(Struct):
    """What a container starts. Either `run` or `command` is given.

    root: the folder it runs in. before: commands that have to end first. env: variables that the command line sets.
    waits: words of what it waits for before, among which hosts are named.
    """

    root: Path
    run: str | None = None
    command: str | None = None
    before: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        return self.run or self.command or ""


def started(command: Command, env: Mapping[str, str], local: Local) -> Started | None:
    """Return what a command line of a container starts; None if nothing of it is on this machine.

    env: the container's variables, which a shell would replace. local: the place here of a path in the container.
    """
    found = Started(local(".") or Path("."))
    last = _steps(_words(command), env, local, found)
    words = _without_wrappers(last, env, found, local)
    if not words:
        return None
    run = _python_program(words, local, found)
    if run is not None:
        found.run = run
        return found
    if local(".") is None:
        return None
    program = local(words[0]) if "/" in words[0] else None
    if words[0].startswith("/") and program is None and not _SYSTEM.match(words[0]):
        return None  # it was made when the image was built
    if program is not None:
        words = [relative(program, found.root), *words[1:]]
        words[0] = words[0] if "/" in words[0] else f"./{words[0]}"
        # What makes it executable is often a step of the image.
        words = words if os.access(program, os.X_OK) else [_shell(program) or "sh", *words]
    words = [words[0], *(_here(word, found.root, local) for word in words[1:])]
    # A shell's text is left as it is: it may have redirections.
    if words[:2] == ["sh", "-c"] and len(words) == 3:
        found.command = words[2]
    elif words != last or not isinstance(command, str):
        found.command = shlex.join(words)
    else:
        found.command = _STEPS.split(command)[-1]
    return found


def _shell(script: Path) -> str | None:
    """Return the shell that the script's first line names, if it does."""
    with script.open("rb") as opened:
        found = re.match(rb"#!.*\b(bash|dash|ash|sh)\b", opened.readline(100))
    return found[1].decode() if found else None


def _here(word: str, root: Path, local: Local) -> str:
    """Return an argument; a file of the container that is on this machine by its path here, seen from the root."""
    place = local(word) if word.startswith("/") and not _SYSTEM.match(word) else None
    return relative(place, root) if place is not None and place.is_file() else word


def _words(command: Command) -> list[str]:
    """Return the words; a text is for a shell, as `CMD` has it without brackets."""
    return ["sh", "-c", command] if isinstance(command, str) else list(command)


def _steps(words: list[str], env: Mapping[str, str], local: Local, found: Started) -> list[str]:
    """Return the words of the last step of a shell's command line; the ones before it go to `before`."""
    if len(words) < 3 or os.path.basename(words[0]) not in _SHELLS or not re.fullmatch(r"-\w*c", words[1]):
        return words
    text = _without_waits(words[2], env, found).strip().rstrip("; \n")
    *parts, last = _STEPS.split(text)
    before = [(step, end) for step, end in zip(parts[::2], parts[1::2], strict=True) if step]
    if any(_CONTROL.match(step) for step in (*(step for step, _ in before), last)):
        return words  # a shell's program, which is not taken apart
    stops = "e" in words[1] or _STOPS.search(text) is not None
    found.before += _work([step if stops or end == "&&" else _may_fail(step) for step, end in before])
    return shell_words(expanded(last, env))


def _may_fail(step: str) -> str:
    """Return the step with its failure ignored; a background step, or one with a comment, is returned unchanged."""
    return step if step.endswith("&") or " #" in step else f"{step} || true"


def _work(steps: Sequence[str]) -> list[str]:
    """Return the steps that do something, without what only starts them in an environment."""
    return [_IN_ENVIRONMENT.sub("", step) for step in steps if not _SHELL_ONLY.match(step)]


def _without_waits(text: str, env: Mapping[str, str], found: Started) -> str:
    """Return a shell's text without the loops in which it waits; what they name is noted."""
    for loop in _WAIT.finditer(text):
        found.waits += re.findall(r"[A-Za-z][\w.-]*", expanded(loop["condition"], env))
    return _EMPTY.sub("", _WAIT.sub("", text))


def _without_wrappers(words: list[str], env: Mapping[str, str], found: Started, local: Local) -> list[str]:
    """Return the words from the program on that does the work."""
    while words:
        name = os.path.basename(words[0])
        if assignment := _ASSIGNMENT.fullmatch(words[0]):
            found.env[assignment[1]] = assignment[2]
            words = words[1:]
        elif name in _WRAPPERS_TO_DASHES and "--" in words:
            words = words[words.index("--") + 1 :]
        elif name in _WRAPPERS and len(words) > _WRAPPERS[name]:
            words = list(dropwhile(lambda word: word.startswith("--"), words[_WRAPPERS[name] :]))
        elif (script := _script(words, local)) is not None:
            inner = _of_script(words, script, env, found, local)
            if inner is None:
                return words
            words = inner
        else:
            return words
    return words


def _script(words: Sequence[str], local: Local) -> int | None:
    """Return the position of a shell script among the words, if that is what they start."""
    at = 1 if os.path.basename(words[0]) in _SHELLS and len(words) > 1 else 0
    file = local(words[at]) if "/" in words[at] or words[at].endswith(".sh") else None
    if file is None or not file.is_file():
        return None
    return at if words[at].endswith(".sh") or _shell(file) else None


def _of_script(words: Sequence[str], at: int, env: Mapping[str, str], found: Started, local: Local) -> list[str] | None:
    """Return the words that a script of the project ends with, its earlier commands as steps before."""
    file = local(words[at])
    try:
        text = file.read_text("utf-8") if file else ""
    except (OSError, ValueError):
        return None
    whole = _CONTINUED.sub(r"\1 ", _without_waits(text.replace("\\\n", " "), env, found))
    lines = whole.splitlines()
    steps = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not steps or file is None:
        return None
    *before, last = steps
    given = _given(steps, words[at + 1 :], found)
    if any(_WHOLE.match(step) for step in before):
        # What such a script waits for, or sets up, before it starts what it is given is not for mesh to guess.
        if given is not None:
            found.remarks.append(f"{file.name} is left out, which the image runs first")
        return given
    found.before += _work(before) if _STOPS.search(whole) else map(_may_fail, _work(before))
    return shell_words(expanded(last, env)) if given is None else given


def _given(steps: Sequence[str], arguments: Sequence[str], found: Started) -> list[str] | None:
    """Return which of a script's arguments its last step starts; None if it starts something else.

    Those that the script has taken away before, such as a host to wait for, are noted.
    """
    named = _IN_VARIABLE.fullmatch(steps[-1])
    kept = [at for at, step in enumerate(steps) if named and step.partition("=")[0] == named[1]]
    if not _ALL_ARGUMENTS.fullmatch(steps[kept[0]].partition("=")[2] if kept else steps[-1]):
        return None
    taken = sum(step == "shift" for step in steps[: kept[0] if kept else -1])
    found.waits += arguments[:taken]
    return list(arguments[taken:])


def _python_program(words: Sequence[str], local: Local, found: Started) -> str | None:
    """Return the command line as `run` takes it, and set the root; None if this is no program of the project."""
    name = os.path.basename(words[0])
    if name in ("manage.py", "django-admin", "django-admin.py"):
        words = ["manage.py", *words[1:]]
    elif words[0].startswith("/"):
        words = [name, *words[1:]]
    if name == "gunicorn" and _OWN_LOOP.search(shlex.join(words)):
        return None
    try:
        command = PythonCommand.parse(shlex.join(words))
    except UsageError:
        return None
    placed = program_root(command, local)
    if placed is None:
        return None
    found.root = placed.root
    found.remarks += placed.remarks
    return placed.line

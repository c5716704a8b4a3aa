"""The note of a mesh that did not end as it should: `.mesh/run/PID.crash`, which the next start reads.

A service whose native code has crashed the process is kept in `.mesh/crashed.json`: it gets a process of its own until
its table says where it runs.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from mesh.control.client import alive, exists
from mesh.errors import MeshError
from mesh.observing.journal import Line
from mesh.runtime.diagnostics.crash import CRASH_PREFIX, describe_crash
from mesh.state_folder import state_folder

#: Begins a line about an extension.
_SECOND_COPY = "loaded from a second environment: "


class CrashNote:
    """A file for what this process says at a hard end; empty until then, and removed when the process ends well.

    Raises MeshError where the file cannot be made.
    """

    def __init__(self, project: Path) -> None:
        self._path = state_folder(project) / "run" / f"{os.getpid()}.crash"
        try:
            self._path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise MeshError(f"{self._path} cannot be written: {error.strerror}") from error
        self._copy_crashes()

    def write(self, line: Line) -> None:
        """Note the last line of a journal."""
        os.write(self._descriptor, f"{line.service}: {line.text}\n".encode())

    def write_second_copy(self, extension: str) -> None:
        """Note an extension that has been loaded from a second environment."""
        os.write(self._descriptor, f"{_SECOND_COPY}{extension}\n".encode())

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _copy_crashes(self) -> None:
        """Let faulthandler write here and to stderr.

        It knows one file only, and nothing of this process can copy it afterwards: a process of its own does.
        """
        reading, writing = os.pipe()
        try:
            # In a session of its own, and deaf to Ctrl-C: it ends when this process has. stderr may be closed.
            copier = subprocess.Popen(
                ["tee", "-a", "-i", self._path],
                stdin=reading,
                stdout=2 if _is_open(2) else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            os.close(writing)  # Without the program, a crash is told on stderr, as set at the start.
        else:
            copier.returncode = 0  # It outlives this process; nothing waits for it.
            faulthandler.enable(writing)
        finally:
            os.close(reading)


class LastEnd(NamedTuple):
    """How a mesh of the project ended: a sentence, and the service whose native code crashed, if that is known."""

    sentence: str
    crashed: str | None


def last_ends(project: Path) -> list[LastEnd]:
    """Return the end of each mesh of the project that did not end as it should, and remove its note."""
    told = []
    for path in sorted((project / ".mesh" / "run").glob("*.crash")):
        if path.stem.isdecimal() and not _runs(project, int(path.stem)):
            try:
                note = path.read_text(errors="replace")
                path.unlink()
            except OSError:
                continue
            sentence, crashed = _how_it_ended(note)
            told.append(LastEnd(f"the last mesh of this project (pid {path.stem}) {sentence}", crashed))
    return told


def _how_it_ended(note: str) -> tuple[str, str | None]:
    lines = note.splitlines(keepends=True)
    copies = [each.removeprefix(_SECOND_COPY).strip() for each in lines if each.startswith(_SECOND_COPY)]
    note = "".join(each for each in lines if not each.startswith(_SECOND_COPY))
    said = note.partition("\n")[0]
    if said and not said.startswith(CRASH_PREFIX):
        return f"was ended by {said}", None
    crash = describe_crash(note)
    if crash is None:
        return "was killed (kill -9, out of memory, or the machine went down)", None
    twice = f"; loaded from two environments: {', '.join(dict.fromkeys(copies))}" if copies else ""
    return f"crashed: {crash.sentence}{twice}", crash.service


def _runs(project: Path, pid: int) -> bool:
    """True if a mesh of the project has this pid. In a container, an earlier one may have had that of this process."""
    if pid == os.getpid() or not exists(pid):
        return False
    try:
        return any(running.pid == pid for running in alive(project))
    except MeshError:  # It is suspended, say.
        return True


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

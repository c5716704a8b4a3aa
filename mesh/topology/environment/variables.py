"""The variables of the services of one declaration: their files and values, interpolated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from mesh.topology.environment.dotenv import DotenvError, read_dotenv
from mesh.topology.environment.interpolation import InterpolationError, interpolated


class EnvFile(Struct, frozen=True):
    """A file of variables, relative to the declaration's folder; one that is not required may be missing."""

    path: str
    required: bool = True


class VariableError(ValueError):
    """Raised for variables that cannot be read."""


class Variables(Struct):
    """Looks variables up in this process's environment, then in `.env` in the declaration's folder.

    further: folders whose `.env` is looked at after that.
    files: that have been read, or would have been. unset: names that had no value, with the key that used each.
    """

    folder: Path
    further: tuple[Path, ...] = ()
    files: set[Path] = field(default_factory=set)
    unset: dict[str, str] = field(default_factory=dict)
    _own_names: set[str] = field(default_factory=set)
    _dotenv: dict[str, str] | None = None

    def value(self, name: str) -> str | None:
        """Return a variable's value, or None; raises VariableError if `.env` cannot be read."""
        found = os.environ.get(name)
        return self._of_dotenv().get(name) if found is None else found

    def is_foreign(self, name: str) -> bool:
        """Return whether only a further folder gives the variable its value; raises as `value` does."""
        return self.value(name) is not None and name not in os.environ and name not in self._own_names

    def text(self, text: str, key: str) -> str:
        """Return a text with its variables replaced; key: what it is the value of."""
        if "$" not in text:
            return text
        try:
            return interpolated(text, self.value, lambda name: self.unset.setdefault(name, key))
        except InterpolationError as error:
            raise VariableError(str(error)) from None

    def of_file(self, file: EnvFile) -> dict[str, str]:
        """Return the variables that a file sets; none if it is missing and not required."""
        path = self.folder / file.path
        self.files.add(path)
        try:
            return read_dotenv(path, self.value)
        except FileNotFoundError:
            if not file.required:
                return {}
            example = example_of(path)
            way = f"copy it from {example.name}" if example else "with required = false it may be missing"
            raise VariableError(f"no such file: {path}; {way}") from None
        except (DotenvError, OSError) as error:
            raise VariableError(f"{file.path}: {_reason(error)}") from None

    def _of_dotenv(self) -> Mapping[str, str]:
        if self._dotenv is None:
            self._dotenv = {}  # also if it fails: one mistake is enough
            for path in (place / ".env" for place in (self.folder, *self.further)):
                self.files.add(path)
                try:
                    found = read_dotenv(path, os.environ.get)
                    self._own_names |= found.keys() if path.parent == self.folder else set()
                    self._dotenv = {**found, **self._dotenv}
                except (FileNotFoundError, IsADirectoryError):  # Some keep several files in a folder of that name.
                    pass
                except (DotenvError, OSError) as error:
                    raise VariableError(f".env: {_reason(error)}") from None
        return self._dotenv


def example_of(path: Path) -> Path | None:
    """Return the file that a repository has in place of one that it does not commit: `.env.example` of `.env`."""
    endings = (".example", "-example", ".sample", "-sample", ".template", "-template", ".tpl", ".dist", ".default")
    names = [
        *(f"{path.name}{ending}" for ending in endings),
        f"example{path.name}",
        f"{path.name.removeprefix('.')}.example",
    ]
    return next((each for name in names if (each := path.with_name(name)).is_file()), None)


def _reason(error: DotenvError | OSError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)

"""The mapping behind `os.environ` and `os.environb`, and the position of `subprocess.Popen`'s environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

#: Of `os.environ` and `os.environb`: the mapping that both read and write, with encoded names and values.
MAPPING = "_data"
#: Popen takes `env` by position too: the eleventh, not counting self.
_ENV_POSITION = 10


def mapping() -> MutableMapping[Any, Any]:
    """Return the mapping behind `os.environ`."""
    found: MutableMapping[Any, Any] = vars(os.environ)[MAPPING]
    return found


def gives_environment(args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Return True if these arguments of Popen give the child's environment; else it inherits the process's."""
    given = args[_ENV_POSITION] if len(args) > _ENV_POSITION else options.get("env")
    return given is not None


def with_environment(
    args: tuple[Any, ...], options: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with this environment added if there is none."""
    if len(args) > _ENV_POSITION:
        return (*args[:_ENV_POSITION], environment, *args[_ENV_POSITION + 1 :]), dict(options)
    return args, {**options, "env": environment}

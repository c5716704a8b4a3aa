"""Reads one YAML file with its scalars as texts, its merge keys followed, and Compose's tags understood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh.errors import UsageError


class Reset:
    """Stands for a value that `!reset` takes away."""


class Override:
    """A value that `!override` puts in place of the one before it."""

    def __init__(self, value: Any) -> None:
        self.value = value


def read_yaml(file: Path, shown: str) -> Any:
    """Return the file's content; None for an empty one.

    Scalars are texts: YAML 1.1 would read `22:22` as a base-60 number, and `08` as a mistake.
    Raises UsageError, with `shown` as the file's name, for a file that is not YAML, and if PyYAML is not installed.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise UsageError(f"reading {shown} needs PyYAML; install it with: python -m pip install pyyaml") from None

    class Texts(yaml.SafeLoader):
        """A separate subclass, so that PyYAML's loader stays unchanged."""

    Texts.yaml_implicit_resolvers = {
        start: [pair for pair in resolvers if pair[0].endswith((":null", ":merge"))]
        for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Texts.add_constructor("!reset", lambda loader, node: Reset())
    Texts.add_constructor("!override", lambda loader, node: Override(_plain(loader, node)))
    try:
        return yaml.load(file.read_text("utf-8-sig"), Texts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{shown}{place}: {error.problem}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"{shown} cannot be read: {error}") from None


def _plain(loader: Any, node: Any) -> Any:
    """Return what the node would be without its tag."""
    match node.id:
        case "sequence":
            return loader.construct_sequence(node, deep=True)
        case "mapping":
            return loader.construct_mapping(node, deep=True)
    return loader.construct_scalar(node)

"""The known keys of mesh.toml as a JSON Schema, for editors that complete and check as you type."""

from __future__ import annotations

from typing import Any

from mesh.topology.declaration.forms import EXTERNALS, SERVICE_NAME, Form, Table
from mesh.topology.declaration.schema import PROJECT, SERVICE


def json_schema() -> dict[str, Any]:
    """Return the schema of a mesh.toml, in draft 7, which the TOML extensions of editors read.

    It covers keys and forms of values. Mistakes across keys, such as a port given twice, are left to `mesh check`.
    """
    services = {
        "type": "object",
        "propertyNames": {"pattern": SERVICE_NAME.pattern},
        "additionalProperties": _of(SERVICE),
        "description": "one table for each service",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "mesh.toml",
        "type": "object",
        "properties": {"mesh": _of(PROJECT), "services": services, "externals": _of(EXTERNALS)},
        "additionalProperties": False,
    }


def _of(known: Table | Form) -> dict[str, Any]:
    if isinstance(known, Form):
        return {"description": known.expected, **known.schema}
    table = {
        "type": "object",
        "properties": {name: _of(each) for name, each in known.keys.items()},
        "additionalProperties": False,
    }
    if known.shorthand is None:
        return table
    return {"anyOf": [_of(known.keys[known.shorthand]), table]}

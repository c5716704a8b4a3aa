"""Merges OpenAPI documents, for a listener that serves more than one API."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from mesh.contract.rest.schemas import Schema

_SCHEMAS = "#/components/schemas/"
_VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def merge_documents(documents: Sequence[Schema], *, title: str = "") -> dict[str, Any]:
    """Return one OpenAPI 3.1 document of several, each path including that of its document's server.

    If two documents give one name different meanings, the later one's operation or schema is renamed after its
    document's path. title: by default the titles of all that describe an operation.
    """
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title or ", ".join(_titles(documents)), "version": "1"},
        "servers": [{"url": "/"}],
        "tags": [],
        "paths": {},
        "components": {"schemas": {}},
    }
    for document in documents:
        place = _place(document)
        document = _renamed(document, merged, place)
        for path, item in document.get("paths", {}).items():
            known = merged["paths"].setdefault(place + path, {})
            # The first document to describe an operation is the one that serves it.
            known.update({key: value for key, value in item.items() if key not in known})
        merged["tags"] += [tag for tag in document.get("tags", ()) if tag not in merged["tags"]]
        for kind, components in document.get("components", {}).items():
            merged["components"].setdefault(kind, {}).update(components)
    return merged


def _titles(documents: Sequence[Schema]) -> list[str]:
    described = [document for document in documents if document.get("paths")] or documents
    return list(dict.fromkeys(document["info"]["title"] for document in described))


def _place(document: Schema) -> str:
    """Return the path of the server that the document names, without a trailing slash."""
    servers = document.get("servers") or [{"url": "/"}]
    url: str = servers[0]["url"]
    return url.rstrip("/")


def _renamed(document: Schema, merged: Schema, place: str) -> Schema:
    """Return the document with each operation and schema renamed whose name means something else in `merged`."""
    suffix = place.replace("/", "_").replace("-", "_") or "_"
    known = {operation["operationId"] for operation in _operations(merged) if "operationId" in operation}
    ids = {operation["operationId"] for operation in _operations(document) if operation.get("operationId") in known}
    names = {name: _free(name, suffix, known) for name in ids}
    ours, theirs = (each.get("components", {}).get("schemas", {}) for each in (merged, document))
    schemas = {
        name: _free(name, suffix, {*ours, *theirs})
        for name, schema in theirs.items()
        if schema != ours.get(name, schema)
    }
    names |= {_SCHEMAS + name: _SCHEMAS + other for name, other in schemas.items()}
    renamed: Schema = _with_names(document, names)
    if schemas:
        components = renamed["components"]
        components["schemas"] = {schemas.get(name, name): schema for name, schema in components["schemas"].items()}
    return renamed


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_names(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: names.get(item, item)
        if key in ("operationId", "$ref") and isinstance(item, str)
        else _with_names(item, names)
        for key, item in value.items()
    }


def _free(name: str, suffix: str, taken: Container[str]) -> str:
    name += suffix
    while name in taken:
        name += "_"
    return name


def _operations(document: Schema) -> list[Schema]:
    return [
        operation
        for item in document.get("paths", {}).values()
        for verb, operation in item.items()
        if verb in _VERBS and isinstance(operation, dict)
    ]

"""Clients that common generators make of a service's OpenAPI document compile, and call every operation."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from mesh import Supervisor
from mesh.store.topology import store
from mesh.topology.selection import renumber
from tests.support.supervised import PATIENCE, Project

HERE = Path(__file__).parent
NODE = HERE / "clients" / "node_modules"
VERBS = ("get", "put", "post", "delete", "patch")
LINES = "application/x-ndjson"
#: Answers that are streams go on until the client leaves; those of the library end.
ENDLESS = "WatchUsers", "WatchProducts"
#: Its body and its path are members of one oneof.
EXCLUSIVE = "library.v1.Library.Echo.8"
#: What a parameter or a property of this name is; others are taken from their schemas.
KNOWN = {"email": "a@example.com", "choiceNumber": None, "choiceText": None, "choiceAuthor": None}
TYPED = {"integer": 1, "number": 1.5, "boolean": True, "string": "a", "null": None}
FORMATTED = {"date-time": "2026-11-25T00:00:00Z", "byte": "YQ=="}

Document = dict[str, Any]


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    supervisor = Supervisor(renumber(store(tmp_path_factory.mktemp("store")), None, free=True))
    supervisor.start()
    url = f"http://{supervisor.directory.address('gateway', 'http')}"
    # An order for the id that every call asks for.
    requests.post(f"{url}/api/orders", json={"user_id": 1, "product_id": 1, "quantity": 1}, timeout=PATIENCE)
    yield url
    supervisor.stop()


@pytest.fixture(params=["store", "library"])
def url(request: pytest.FixtureRequest, store_url: str, library_project: Project) -> str:
    if request.param == "store":
        return store_url
    return f"http://{library_project.supervisor.directory.address('library', 'http')}"


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield path, verb, item[verb]


def sample(schema: Document, document: Document, name: str = "") -> Any:
    """Return a value that a schema allows: of an object what is required and all that is simple."""
    if name in KNOWN:
        return KNOWN[name]
    if "$ref" in schema:
        return sample(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], document)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") in FORMATTED:
        return FORMATTED[schema["format"]]
    if "pattern" in schema:
        return "1s" if schema["pattern"].endswith("s$") else "1"
    if schema.get("type") == "object":
        simple = {
            key: each
            for key, each in schema.get("properties", {}).items()
            if each.get("type") in TYPED or key in schema.get("required", ())
        }
        values = {key: sample(each, document, key) for key, each in simple.items() if not each.get("readOnly")}
        return {key: value for key, value in values.items() if value is not None}
    return [] if schema.get("type") == "array" else TYPED.get(schema.get("type", "null"))


def body_of(operation: Document, document: Document) -> tuple[str, Any]:
    """Return the content type and the value of a request's body; of a stream, the text of one line."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content or operation["operationId"] == EXCLUSIVE:
        return "", None
    content_type, media = next(iter(content.items()))
    if content_type == LINES:
        return content_type, json.dumps(sample(media["schema"]["contentSchema"], document)) + "\n"
    return content_type, sample(media["schema"], document)


def is_endless(operation: Document) -> bool:
    return str(operation["operationId"]).endswith(ENDLESS)


# Python.


def test_a_generated_python_client_calls_every_operation(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = requests.get(f"{url}/openapi.json", timeout=PATIENCE).json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    overrides = "\n".join(f"  {kind}: application/octet-stream" for kind in (LINES, "text/event-stream"))
    (tmp_path / "config.yml").write_text(f"content_type_overrides:\n{overrides}\npost_hooks: []\n")
    generate = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ["--path", "openapi.json", "--config", "config.yml", "--meta", "none", "--output-path", "made_client"]
    ran = subprocess.run([generate, "generate", *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, "warning" in ran.stdout.lower()) == (0, False), ran.stdout + ran.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        package = importlib.import_module("made_client")
        api = importlib.import_module("made_client.api")
        modules = {
            plain(found.name.rpartition(".")[2]): found.name
            for found in pkgutil.walk_packages(api.__path__, "made_client.api.")
            if not found.ispkg
        }
        for _, _, operation in operations(document):
            module = importlib.import_module(modules[plain(operation["operationId"])])
            call_python(module, package, url, operation, document)
    finally:
        for name in [name for name in sys.modules if name.startswith("made_client")]:
            del sys.modules[name]


def plain(name: str) -> str:
    """Return the letters and digits of a name, which generators part with underscores of their own."""
    return re.sub("[^a-z0-9]", "", name.lower())


def call_python(module: Any, package: Any, url: str, operation: Document, document: Document) -> None:
    required = [each for each in operation.get("parameters", ()) if each.get("required")]
    known = inspect.signature(module.sync_detailed).parameters
    names = {plain(name): name for name in known} | {name: name for name in known}
    arguments = {
        names.get(each["name"]) or names[plain(each["name"])]: sample(each["schema"], document) for each in required
    }
    content_type, body = body_of(operation, document)
    if isinstance(body, dict):
        hint = typing.get_type_hints(module.sync_detailed)["body"]
        kind = next(each for each in typing.get_args(hint) or (hint,) if hasattr(each, "from_dict"))
        arguments["body"] = kind.from_dict(body)
    elif content_type == "application/json":
        arguments["body"] = body
    elif content_type:
        arguments["body"] = package.types.File(payload=io.BytesIO(str(body).encode()))
    endless = is_endless(operation)
    timeout = httpx.Timeout(PATIENCE, read=0.5 if endless else PATIENCE)
    with package.Client(base_url=url, timeout=timeout) as client:
        try:
            response = module.sync_detailed(**arguments, client=client)
        except httpx.ReadTimeout:
            assert endless, operation["operationId"]
        else:
            assert 200 <= response.status_code < 300, (operation["operationId"], response.content)


# TypeScript.


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_generated_typescript_client_compiles_and_calls_every_operation(url: str, tmp_path: Path) -> None:
    assert NODE.exists(), "run `make install`, which installs what the generated TypeScript needs"
    document = requests.get(f"{url}/openapi.json", timeout=PATIENCE).json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "node_modules").symlink_to(NODE)
    run_node(tmp_path, "openapi-typescript", "openapi.json", "--output", "api.d.ts")
    calls = [typescript_call(*each, document) for each in operations(document)]
    (tmp_path / "calls.mts").write_text(TYPESCRIPT.format(url=json.dumps(url), calls="\n".join(calls)))
    strict = [
        "--strict",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--lib",
        "es2022,dom",
    ]
    run_node(tmp_path, "tsc", *strict, "calls.mts")
    ran = subprocess.run(
        ["node", "calls.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    statuses = dict(json.loads(line) for line in ran.stdout.splitlines())
    assert statuses.keys() == {operation["operationId"] for _, _, operation in operations(document)}
    assert {name: status for name, status in statuses.items() if not 200 <= status < 300} == {}


TYPESCRIPT = """\
import createClient from "openapi-fetch";
import type {{ paths }} from "./api.d.ts";

const client = createClient<paths>({{ baseUrl: {url} }});
const report = (name: string, response: Response) => console.log(JSON.stringify([name, response.status]));
const asIs = (body: unknown) => body as string;
{calls}
"""


def typescript_call(path: str, verb: str, operation: Document, document: Document) -> str:
    required = [each for each in operation.get("parameters", ()) if each.get("required")]
    params: dict[str, dict[str, Any]] = {}
    for each in required:
        params.setdefault(each["in"], {})[each["name"]] = sample(each["schema"], document)
    content_type, body = body_of(operation, document)
    options = [f"params: {json.dumps(params)}"] if params else []
    if content_type:
        options.append(f"body: {json.dumps(body)}")
    if content_type not in ("", "application/json"):
        options += ["bodySerializer: asIs", f'headers: {{ "content-type": "{content_type}" }}']
    options.append('parseAs: "stream"')
    call = f"client.{verb.upper()}({json.dumps(path)}, {{ {', '.join(options)} }})"
    return (
        f"{{ const {{ response }} = await {call}; report({json.dumps(operation['operationId'])}, response); "
        "if (!response.body?.locked) await response.body?.cancel(); }"
    )


def run_node(folder: Path, command: str, *arguments: str) -> None:
    ran = subprocess.run(
        [str(NODE / ".bin" / command), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

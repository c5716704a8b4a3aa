"""Runs the published cases of google.api.http's other implementations against mesh, and prints a table.

    python benchmarks/vectors.py FOLDER > docs/vectors.md

FOLDER holds the cases as JSON: grpc-httpjson-transcoding/, grpc-gateway/ and google-api-core/.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, struct_pb2, text_format
from google.protobuf.message import Message

from mesh.contract.http_rules.router import Router
from mesh.contract.http_rules.template import Template
from mesh.contract.methods import Binding, Method
from mesh.contract.protoc import describe_protos
from mesh.contract.protojson.fields import resolve
from mesh.contract.protojson.query import Query
from mesh.contract.protojson.scalars import Mismatch
from mesh.contract.rest.client import http_call
from mesh.contract.rest.transcoding import Endpoint
from mesh.errors import MeshError, StatusError

SLASHES = (
    "Written rule: a trailing slash or an empty segment matches nothing (404), so that each thing has one address."
)
RESERVED = "google.api.http: in a variable of several segments all escapes but that of the slash are decoded."
PLUS = "Policy: `+` in a query is a space, as HTML forms and HTTP libraries write it; `%2B` is a plus."
DOTS = "RFC 3986: `%2e` is a dot, and a segment of one dot is none; proxies and clients drop it."
STRICT = "RFC 8259: a comma before a closing bracket is no JSON."
LINES = "Policy: a stream of requests is a message a line, not a JSON array; so are the cases above read."
COVERED = "The case is C++ code without data; the project's tests say the same."
UNKNOWN_VERB = "Policy: a verb no rule has is part of the value. Envoy's option of that name is not offered."
FIRST = (
    "Of two rules for the same requests the first is served, with a warning; Envoy keeps neither, or asks to be told."
)
ALL_OR_NOTHING = (
    "google.api.http: an escaped slash stays escaped in several segments; Envoy's other two modes are not offered."
)
SYSTEM = 'Envoy\'s list of parameters to pass over is not offered; `unknown_fields="ignore"` passes over all.'
METHOD_405 = "HTTP: a known path with another method is 405 with `Allow`; grpc-gateway says 501."
FORM = "Policy: POST of a form is no GET, and X-HTTP-Method-Override is not read: a cache or a proxy would not know."
RELATIVE = "A path without a leading slash is 404; no HTTP server passes one on."
LEGACY = "google.api.http: the path is matched raw, whatever grpc-gateway's unescaping mode says."
PERCENT = "`%25` is a percent sign; grpc-gateway decodes it twice."
GO_DURATION = "ProtoJSON: a Duration is seconds, `46800s`; `13h0m0s` is Go's form."
FLOAT_KEY = "No proto has a map with keys of floating point; the entry is left out of the case's message too."
REPEATED = "A repeated message has no form in a query, in google.api.http's words."
POSITIONAL = "Positional arguments for unnamed wildcards; a message has names only."
ESCAPED = "google.api.http: a slash within one segment is written `%2F`; Google's client refuses it."
TWO_MARKS = "Grammar: a second wildcard after `**` is refused, as by Envoy: where the first ends could not be told."
EMPTY = "A message that is set and empty, or a repeated message, has no words in a query: no binding fits."
KEYWORDS = "Keyword arguments in place of a message."


class Case(NamedTuple):
    name: str
    met: bool | None
    reason: str = ""


def main(folder: Path) -> None:
    rows: list[str] = []
    misses: dict[tuple[str, str], list[str]] = {}
    for title, suite in SUITES.items():
        cases = list(suite(folder))
        count = Counter(case.met for case in cases)
        rows.append(f"| {title} | {len(cases)} | {count[True]} | {count[False]} | {count[None]} |")
        for case in cases:
            if not case.met:
                misses.setdefault((title, case.reason or "**unexplained**"), []).append(case.name)
    print("# Published cases\n")
    print("What mesh does with the cases that other implementations of google.api.http test themselves with.")
    print("Made by `python benchmarks/vectors.py FOLDER`.\n")
    print("| cases of | all | met | not met | do not apply |", "|---|---|---|---|---|", *rows, sep="\n")
    print("\n## Not met, or not applying, and why\n")
    print("| cases of | reason | cases |", "|---|---|---|", sep="\n")
    for (title, reason), names in misses.items():
        print(f"| {title} | {reason} | {', '.join(names)} |")


def outcome(run: Callable[[], Any]) -> Any:
    """Return the outcome of a case; an error as its HTTP status, or 0 for one that has none."""
    try:
        return run()
    except StatusError as error:
        return error.http_status
    except (MeshError, Mismatch):
        return 0


# Templates and routing.


def envoy_templates(folder: Path) -> Iterator[Case]:
    for vector in load(folder, "grpc-httpjson-transcoding/http_template.json")["vectors"]:
        template = outcome(partial(Template.parse, vector["template"]))
        expected: Any = 0
        if vector["valid"]:
            # What a case does not say is taken as we have it.
            variables = [(v["field"], v["start"], v["end"]) for v in vector.get("variables", ())]
            _, ours, verb = laid_out(template)
            expected = (vector["segments"], variables if "variables" in vector else ours, vector.get("verb") or verb)
        yield Case(f"{vector['test']} `{vector['template']}`", (template and laid_out(template)) == expected)


def laid_out(template: Template) -> Any:
    variables = [(v.name, v.start, v.end) for v in template.variables]
    return [str(segment) for segment in template.segments], variables, template.verb


def gateway_templates(folder: Path) -> Iterator[Case]:
    content = load(folder, "grpc-gateway/template.json")
    for vector in content["tokenize"]:
        template = outcome(partial(Template.parse, "/" + vector["src"]))
        yield Case(f"`/{vector['src']}`", template != 0 and template.verb == vector["verb"])
    for text in content["invalid"]:
        bad = text if text.startswith("v1") else f"/{text}"
        yield Case(f"`{bad}` is refused", outcome(partial(Template.parse, bad)) == 0)


def envoy_matcher(folder: Path) -> Iterator[Case]:
    for test in load(folder, "grpc-httpjson-transcoding/path_matcher.json")["tests"]:
        rules: list[Any] = []
        for route in test["routes"]:
            rule = (
                [(route["method"], Template.parse(route["template"]), route["id"])] if parses(route["template"]) else []
            )
            accepted = bool(rule) and outcome(partial(Router, [*rules, *rule])) != 0
            if accepted != route["valid"]:
                yield Case(f"{test['test']} {route['template']}", False, FIRST)
            rules += rule if accepted else []
        router = Router(rules)
        for lookup in test["lookups"]:
            path = lookup.get("path") or eval(lookup["path_expr"], {})
            name = f"{test['test']} {lookup['method']} {path if len(path) < 60 else path[:30] + '…'}"
            met = looked_up(router, path, lookup)
            yield Case(name, met, "" if met else why_not_matched(test, path, lookup))


def parses(text: str) -> bool:
    return bool(outcome(lambda: Template.parse(text)))


def looked_up(router: Router[str], path: str, lookup: dict[str, Any]) -> bool:
    path, _, inline = path.partition("?")
    found = outcome(lambda: router.find(lookup["method"], path))
    if "expect_not" in lookup:
        return bool(found != lookup["expect_not"])
    if lookup["expect"] is None or isinstance(found, int):
        return lookup["expect"] is None and isinstance(found, int)
    target, values = found
    if target != lookup["expect"]:
        return False
    if lookup.get("binding_values") is not None:
        return bool(values == lookup["binding_values"])
    if not lookup.get("bindings"):
        return True
    parameters = parameters_of(lookup.get("query") or inline)
    return [*values, *parameters] == [binding["value"] for binding in lookup["bindings"]]


def parameters_of(query: str) -> list[str]:
    from mesh.contract.protojson.query import _pairs

    return [value for _, value in _pairs(query)]


def why_not_matched(test: dict[str, Any], path: str, lookup: dict[str, Any]) -> str:
    if test["test"] == "MatchUnregisteredCustomVerb":
        return UNKNOWN_VERB
    if "Duplicate" in test["test"]:
        return FIRST
    if "system" in test["test"].lower():
        return SYSTEM
    if path.lower() == "/%2e":
        return DOTS
    if "+" in (lookup.get("query") or ""):
        return PLUS
    if test["options"].get("url_unescape_spec") in ("kAllCharacters", "kAllCharactersExceptReserved") or "%" in path:
        return ALL_OR_NOTHING if test["options"].get("url_unescape_spec") == "kAllCharacters" else RESERVED
    return SLASHES if path.endswith("/") or "//" in path else ""


def gateway_patterns(folder: Path) -> Iterator[Case]:
    for vector in load(folder, "grpc-gateway/pattern.json")["vectors"]:
        router = Router([("GET", Template.parse(vector["template"]), "it")])
        if "match" in vector:
            for path, wanted in [(p, True) for p in vector["match"]] + [(p, False) for p in vector["not_match"]]:
                found = outcome(partial(router.find, "GET", f"/{path}"))
                yield Case(f"`{vector['template']}` and `/{path}`", isinstance(found, tuple) == wanted)
            continue
        found = outcome(partial(router.find, "GET", "/" + vector["path"]))
        met = isinstance(found, tuple) and found[1] == list(vector["bindings"].values())
        yield Case(f"`{vector['template']}` and `/{vector['path']}`", met, ALL_OR_NOTHING)


def found_in(rules: list[tuple[str, Template, str]], method: str, path: str) -> tuple[str, list[str]]:
    return Router(rules).find(method, path)


def gateway_mux(folder: Path) -> Iterator[Case]:
    for vector in load(folder, "grpc-gateway/mux.json")["vectors"]:
        rules = [
            (r["method"], Template.parse(r["template"]), f"{r['method']} {r['template']}") for r in vector["routes"]
        ]
        found = outcome(partial(found_in, rules, vector["method"], vector["path"]))
        met = found == vector["status"] if isinstance(found, int) else found[0] == vector["matched_route"]
        yield Case(f"{vector['id']} {vector['method']} {vector['path']}", met, why_not_routed(vector))


def why_not_routed(vector: dict[str, Any]) -> str:
    if "form" in (vector["headers"] or {}).get("Content-Type", "") and vector["status"] == 200:
        return FORM
    if not vector["path"].startswith("/"):
        return RELATIVE
    if vector["path"].endswith("%25"):
        return PERCENT
    return METHOD_405 if vector["status"] == 501 else LEGACY


# Messages.

BOOKSTORE = """
syntax = "proto3"; package bookstore;
message Shelf { string name = 1; string theme = 2; }
message GetShelfRequest { int64 shelf = 1; }
message ListShelvesResponse { repeated Shelf shelves = 1; }
message Bio { int64 year_born = 1; int64 year_died = 2; string text = 3; }
message AuthorInfo { string first_name = 1; string last_name = 2; Bio bio = 3; }
message Book { string name = 1; string author = 2; string title = 3; AuthorInfo author_info = 4; }
message CreateBookRequest { int64 shelf = 1; Book book = 2; }
"""

GATEWAY = """
syntax = "proto3"; package gateway;
import "google/protobuf/duration.proto"; import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Enum { X = 0; Y = 1; Z = 2; }
message Message {
  Message nested = 1; float float_value = 2; double double_value = 3; int64 int64_value = 4; int32 int32_value = 5;
  uint64 uint64_value = 6; uint32 uint32_value = 7; bool bool_value = 8; string string_value = 9;
  bytes bytes_value = 10; repeated string repeated_value = 11; optional string optional_value = 12;
  repeated google.protobuf.UInt64Value repeated_message = 13; Enum enum_value = 14; repeated Enum repeated_enum = 15;
  google.protobuf.Timestamp timestamp_value = 16; google.protobuf.Duration duration_value = 17;
  google.protobuf.FieldMask fieldmask_value = 18; google.protobuf.DoubleValue wrapper_double_value = 19;
  google.protobuf.FloatValue wrapper_float_value = 20; google.protobuf.Int64Value wrapper_int64_value = 21;
  google.protobuf.Int32Value wrapper_int32_value = 22; google.protobuf.UInt64Value wrapper_u_int64_value = 23;
  google.protobuf.UInt32Value wrapper_u_int32_value = 24; google.protobuf.BoolValue wrapper_bool_value = 25;
  google.protobuf.StringValue wrapper_string_value = 26; google.protobuf.BytesValue wrapper_bytes_value = 27;
  map<string, string> map_value = 28; map<string, int32> map_value2 = 29; map<int32, string> map_value3 = 30;
  map<string, int64> map_value4 = 31; map<int64, string> map_value5 = 32; map<string, uint32> map_value6 = 33;
  map<uint32, string> map_value7 = 34; map<string, uint64> map_value8 = 35; map<uint64, string> map_value9 = 36;
  map<string, float> map_value10 = 37; map<string, double> map_value12 = 38; map<string, bool> map_value14 = 39;
  map<bool, string> map_value15 = 40; map<string, uint64> map_value16 = 41;
  google.protobuf.Value struct_value_value = 42; google.protobuf.Struct struct_value = 43;
  oneof oneof_value { bool oneof_bool_value = 44; string oneof_string_value = 45; }
  oneof nested_oneof_value { Message nested_oneof_value_one = 46; int32 nested_oneof_int32_value = 47; }
}
"""


def described(text: str) -> descriptor_pool.DescriptorPool:
    """A pool with the messages of one proto, each with a method `<Name>Service.Call` that takes and gives it."""
    package = text.split("package ")[1].split(";")[0]
    names = [line.split()[1] for line in text.splitlines() if line.startswith("message ")]
    services = "".join(f"service {n}Service {{ rpc Call({n}) returns ({n}); }}\n" for n in names)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / f"{package}.proto").write_text(text + services)
        files = descriptor_pb2.FileDescriptorSet.FromString(describe_protos(Path(scratch))).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    return pool


def envoy_bodies(folder: Path) -> Iterator[Case]:
    pool = described(BOOKSTORE)
    for vector in load(folder, "grpc-httpjson-transcoding/json_request_translator.json")["vectors"]:
        name = vector["test"]
        if vector["message"] is None:
            yield Case(name, all(as_struct(message) for message in vector["messages"]))
        elif vector["chunks"]:
            yield Case(name, False, LINES)
        elif not vector["messages"] or 'R"(' in vector["messages"][0]["json"]:
            yield Case(name, None, COVERED)
        else:
            method = Method.of(pool.FindServiceByName(f"bookstore.{vector['message']}Service").methods[0])
            met = all(translated(method, vector, *message) for message in enumerate(vector["messages"]))
            yield Case(name, met, STRICT if translates_without_commas(method, vector) else "")


def as_struct(message: dict[str, str]) -> bool:
    from mesh.contract import parse_json

    read = json_format.ParseDict(parse_json(message["json"].encode()), struct_pb2.Struct())
    return read == text_format.Parse(message["proto_text"], struct_pb2.Struct())


def translates_without_commas(method: Method, vector: dict[str, Any]) -> bool:
    clean = [{**message, "json": re.sub(r",(\s*[}\]])", r"\1", message["json"])} for message in vector["messages"]]
    return all(translated(method, vector, *message) for message in enumerate(clean))


def translated(method: Method, vector: dict[str, Any], number: int, message: dict[str, str]) -> bool:
    names, values = [pair[0] for pair in vector["variable_bindings"]], [pair[1] for pair in vector["variable_bindings"]]
    template = Template.parse("/" + "/".join(f"{{{name}}}" for name in names))
    endpoint = Endpoint(method, Binding("POST", template, vector["body"] or "*"), "ignore")
    read = outcome(lambda: endpoint.request(None if number else values, "", message["json"].encode()))
    return bool(read == text_format.Parse(message["proto_text"], method.request_class()))


def gateway_queries(folder: Path) -> Iterator[Case]:
    pool = described(GATEWAY)
    method = Method.of(pool.FindServiceByName("gateway.MessageService").methods[0])
    for vector in load(folder, "grpc-gateway/query_parameters.json")["vectors"]:
        if "float_keys" not in vector and any(k.startswith(("map_value11", "map_value13")) for k in vector["values"]):
            vector["values"] = {
                k: v for k, v in vector["values"].items() if k[:11] not in ("map_value11", "map_value13")
            }
        for name, values, reason in split(vector):
            read = outcome(partial(read_query, method, values, vector))
            yield Case(name, met_query(method, read, values, vector), reason)


def split(vector: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The case without the parameters that are known to differ, and each of those as a case of its own."""
    values = dict(vector["values"])
    for key in list(values):
        reason = GO_DURATION if values[key] == ["13h0m0s"] else REPEATED if key == "repeated_message" else ""
        if reason:
            yield f"{vector['test']} `{key}={values[key][0]}`", {key: values.pop(key)}, reason
    yield vector["test"] + ("" if len(values) > 2 else f" `{'&'.join(values)}`"), values, ""


def read_query(method: Method, values: dict[str, Any], vector: dict[str, Any]) -> Message:
    message = method.request_class()
    bound = [tuple(path) for path in vector.get("already_bound_paths", [])]
    Query(method.descriptor.input_type, bound, not bound).read(urlencode(values, doseq=True), message)
    return message


def met_query(method: Method, read: Any, values: dict[str, Any], vector: dict[str, Any]) -> bool:
    if "wanterr" in vector:
        return isinstance(read, int)
    keys = {key.split("[")[0].split(".")[0] for key in values}
    snake = {"".join(f"_{c.lower()}" if c.isupper() else c for c in key) for key in keys} | keys
    wanted = {key: value for key, value in vector["want"].items() if key in snake}
    return bool(read == json_format.ParseDict(wanted, method.request_class()))


# The client's direction.


CALLER = """
syntax = "proto3"; package caller;
import "google/api/auth.proto";
service Caller { rpc Call(google.api.AuthenticationRule) returns (google.api.AuthenticationRule); }
"""


def core(folder: Path) -> Iterator[Case]:
    content = load(folder, "google-api-core/path_template.json")
    method = Method.of(described(CALLER).FindServiceByName("caller.Caller").methods[0])
    for vector in content["test_expand_success"]:
        filled = Template.parse(vector["tmpl"]).fill(list(vector["kwargs"].values()))
        met = None if vector["args"] else filled == vector["expected_result"]
        yield Case(f"expand `{vector['tmpl']}`", met, POSITIONAL)
    for vector in content["test_validate_failure"]:
        router = Router([("GET", Template.parse("/" + vector["tmpl"]), "it")])
        found = outcome(partial(router.find, "GET", "/" + vector["path"]))
        yield Case(f"validate `{vector['tmpl']}`", found == 404)
    for name in (key for key in content if key.startswith("test_transcode")):
        for number, vector in enumerate(content[name]):
            met = transcoded(method, vector) if vector["message"] else None
            yield Case(f"{name} {number}", met, KEYWORDS if met is None else why_not_transcoded(vector))


def why_not_transcoded(vector: dict[str, Any]) -> str:
    if not all(parses(template) for _, template, _ in vector["http_options"]):
        return TWO_MARKS
    return EMPTY if "expected_result" in vector else ESCAPED


def transcoded(method: Method, vector: dict[str, Any]) -> bool:
    request = json_format.ParseDict(vector["message"]["json"], method.request_class())
    bindings = tuple(known_bindings(method, vector["http_options"]))
    call = outcome(lambda: http_call(replace(method, bindings=bindings), request))
    if "expected_result" not in vector or isinstance(call, int):
        return bool(call == 501) and "expected_result" not in vector
    verb, uri, body, query = vector["expected_result"]
    path, _, asked = call.target.partition("?")
    return (call.http_method.lower(), path, bool(call.body)) == (verb, uri, bool(body)) and says(method, asked, query)


def known_bindings(method: Method, options: list[list[str]]) -> Iterator[Binding]:
    """Those that fit the message; mesh refuses the others when it reads the contract."""
    scope = method.descriptor.input_type
    for verb, text, body in options:
        template = outcome(partial(Template.parse, text))
        with contextlib.suppress(KeyError):
            if template and all(resolve(scope, v.path) for v in template.variables):
                resolve(scope, [] if body in ("", "*") else [body])
                yield Binding(verb.upper(), template, body)


def says(method: Method, query: str, left: dict[str, Any]) -> bool:
    """Return True if the query says what is left of the message; it cannot say that a message is set and empty."""
    wanted = json_format.ParseDict(left.get("json", {}), method.request_class())
    for field, value in wanted.ListFields():
        if field.message_type and not field.is_repeated and not value.ListFields():
            wanted.ClearField(field.name)
    read = method.request_class()
    Query(method.descriptor.input_type, (), True).read(query, read)
    return bool(read == wanted)


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


SUITES: dict[str, Callable[[Path], Iterator[Case]]] = {
    "Envoy's templates": envoy_templates,
    "Envoy's path matcher": envoy_matcher,
    "Envoy's request translator": envoy_bodies,
    "grpc-gateway's templates": gateway_templates,
    "grpc-gateway's patterns": gateway_patterns,
    "grpc-gateway's mux": gateway_mux,
    "grpc-gateway's query parameters": gateway_queries,
    "google-api-core's client": core,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))

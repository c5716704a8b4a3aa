"""The methods of a contract and their google.api.http bindings, read from service descriptors of any pool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from msgspec import Struct
from msgspec.structs import replace

from mesh.contract.http_rules.router import Router
from mesh.contract.http_rules.template import Template, TemplateError
from mesh.contract.protojson.fields import resolve, text_of
from mesh.errors import UsageError

_NO_SIDE_EFFECTS = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
_IDEMPOTENT = descriptor_pb2.MethodOptions.IDEMPOTENT


class Binding(Struct, frozen=True):
    """One HTTP form of a method.

    http_method: upper case; `*` for any.
    body: `"*"`, the name of a field, or `""` for none. response_body: the name of a field, or `""` for the message.
    """

    http_method: str
    template: Template
    body: str = ""
    response_body: str = ""

    def __str__(self) -> str:
        return f"{self.http_method} {self.template.text}"


class Method(Struct, frozen=True, eq=False, dict=True):
    """One rpc: `full_name` as in `user.UserService.GetUser`, `path` as in `/user.UserService/GetUser`.

    idempotent: it may be repeated, by its idempotency_level or by a GET binding. refused: a sentence for each rule
    that cannot be served and so has no binding.
    """

    descriptor: MethodDescriptor
    full_name: str
    path: str
    name: str
    service: str
    request_class: type[Message]
    response_class: type[Message]
    client_streaming: bool
    server_streaming: bool
    bindings: tuple[Binding, ...]
    idempotent: bool
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.full_name

    @property
    def streaming(self) -> bool:
        return self.client_streaming or self.server_streaming

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> Method:
        """Read a method and its rules; a rule that does not fit its messages goes to `refused`."""
        options = _options(descriptor)
        refused: list[str] = []
        bindings = tuple(_bindings(descriptor, options, refused))
        reads = any(binding.http_method == "GET" for binding in bindings)
        service = descriptor.containing_service.full_name
        return cls(
            descriptor=descriptor,
            full_name=descriptor.full_name,
            path=f"/{service}/{descriptor.name}",
            name=descriptor.name,
            service=service,
            request_class=message_factory.GetMessageClass(descriptor.input_type),
            response_class=message_factory.GetMessageClass(descriptor.output_type),
            client_streaming=descriptor.client_streaming,
            server_streaming=descriptor.server_streaming,
            bindings=bindings,
            idempotent=reads or options.idempotency_level in (_NO_SIDE_EFFECTS, _IDEMPOTENT),
            refused=tuple(refused),
        )


class Contract:
    """The methods of one or several services.

    Of two rules that match the same requests the first is kept; the other is `refused`.
    """

    def __init__(self, methods: Iterable[Method], services: Iterable[str] = ()) -> None:
        self.methods = tuple(_without_conflicts(methods))
        self.services = tuple(dict.fromkeys([*services, *(method.service for method in self.methods)]))

    @classmethod
    def of(cls, services: Iterable[ServiceDescriptor]) -> Contract:
        services = list(services)
        methods = [Method.of(method) for service in services for method in service.methods]
        return cls(methods, (service.full_name for service in services))

    @property
    def refused(self) -> tuple[str, ...]:
        """Return a sentence for each rule that cannot be served."""
        return tuple(sentence for method in self.methods for sentence in method.refused)

    def __iter__(self) -> Iterator[Method]:
        return iter(self.methods)

    def __getitem__(self, name: str) -> Method:
        """Return the method of this name, full name or path; raises KeyError if there is none, or more than one."""
        found = self._by_name.get(name, [])
        if len(found) != 1:
            raise KeyError(name)
        return found[0]

    def __contains__(self, name: str) -> bool:
        return len(self._by_name.get(name, [])) == 1

    @cached_property
    def _by_name(self) -> Mapping[str, list[Method]]:
        names: dict[str, list[Method]] = {}
        for method in self.methods:
            for name in (method.name, method.full_name, method.path):
                names.setdefault(name, []).append(method)
        return names


def _options(descriptor: MethodDescriptor) -> Any:
    # The options of a private pool have a class without our extensions.
    return descriptor_pb2.MethodOptions.FromString(descriptor.GetOptions().SerializeToString())


def _without_conflicts(methods: Iterable[Method]) -> Iterator[Method]:
    router: Router[Method] = Router(())
    for method in methods:
        kept: list[Binding] = []
        refused = list(method.refused)
        for binding in method.bindings:
            try:
                router.add(binding.http_method, binding.template, method)
                kept.append(binding)
            except UsageError as conflict:
                refused.append(str(conflict))
        unchanged = len(kept) == len(method.bindings)
        yield method if unchanged else replace(method, bindings=tuple(kept), refused=tuple(refused))


def _bindings(descriptor: MethodDescriptor, options: Any, refused: list[str]) -> Iterator[Binding]:
    if not options.HasExtension(annotations_pb2.http):
        return
    rule = options.Extensions[annotations_pb2.http]
    for each in (rule, *rule.additional_bindings):
        try:
            binding = _binding(each)
            _check(binding, descriptor)
        except TemplateError as error:
            refused.append(f"{descriptor.full_name}: {error}")
        except UsageError as error:
            refused.append(str(error))
        else:
            yield binding


def _binding(rule: http_pb2.HttpRule) -> Binding:
    pattern = rule.WhichOneof("pattern")
    if pattern == "custom":
        method, text = rule.custom.kind, rule.custom.path
    else:
        method, text = (pattern or "").upper(), getattr(rule, pattern) if pattern else ""
    return Binding(method, Template.parse(text), rule.body, rule.response_body)


def _check(binding: Binding, descriptor: MethodDescriptor) -> None:
    """Raise UsageError if the rule names a field that its messages do not have."""
    for variable in binding.template.variables:
        field = _field(descriptor, binding, descriptor.input_type, variable.path)
        if field.is_repeated or text_of(field) is None:
            raise _misfit(descriptor, binding, f"{variable.name} cannot stand in a path")
    if binding.body not in ("", "*"):
        _field(descriptor, binding, descriptor.input_type, binding.body.split("."))
    if binding.response_body:
        _field(descriptor, binding, descriptor.output_type, [binding.response_body])


def _field(method: MethodDescriptor, binding: Binding, scope: Descriptor, path: Iterable[str]) -> Any:
    try:
        return resolve(scope, list(path))[-1]
    except KeyError as error:
        raise _misfit(method, binding, f"{scope.full_name} has no field {'.'.join(path)}") from error


def _misfit(method: MethodDescriptor, binding: Binding, reason: str) -> UsageError:
    return UsageError(f"{method.full_name}: {binding}: {reason}")

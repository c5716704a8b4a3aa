"""The services of a Compose file as mesh would run them: as code instead of images."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from mesh.hosting.packages.requirement_files import requirement_files
from mesh.topology.compose.pip_install import installs_otherwise
from mesh.topology.compose.project import read_project
from mesh.topology.compose.services import COMPLETED, HEALTHY, ComposeService, services_of, words_of
from mesh.topology.drafting.composed_images import copied, image_name, image_ports, is_image, volume_here
from mesh.topology.drafting.composed_ports import grpc_port_of, http_port_of, ports_of_code, take_port_from_mesh
from mesh.topology.drafting.container_command import Started, started
from mesh.topology.drafting.discovery import FoundCode, codes, proto_folders
from mesh.topology.drafting.files import beside_code, relative, required_from
from mesh.topology.drafting.listening import Listening, listening
from mesh.topology.drafting.sketch import Ports, Sketch, service_name
from mesh.topology.environment.dotenv import DotenvError, read_dotenv
from mesh.topology.environment.variables import Variables, example_of

#: Commands that end when their work is done.
_ONE_SHOT = re.compile(
    r"\b(?:migrate|upgrade head|collectstatic|loaddata|createsuperuser|init_?db|db_?init|seed\w*|create_?all)\b"
    r"|^python\d? -c "
)
#: What is built from these has no code, but files for a server that runs beside the services.
_SERVER_IMAGES = re.compile(r"(?:[\w.-]+/)*(?:nginx|httpd|caddy|traefik|haproxy|envoy|openresty)\b")
#: What makes room for the files of an image.
_PREPARES = re.compile(r"(?:rm|mkdir|touch|chown|chmod)\b[^&;|]*$")
#: Images whose containers end at once without a command; one that only builds, for others, has none.
_STARTS_NOTHING = re.compile(r"(?:[\w.-]+/)*(?:python|debian|ubuntu|alpine)(?::.*)?")


class Composed(Struct):
    """What a Compose file becomes. externals: addresses by `name:port`. remarks: what was left out."""

    name: str
    files: tuple[Path, ...]
    sketches: list[Sketch] = field(default_factory=list)
    externals: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def from_compose(files: Sequence[Path], folder: Path) -> Composed:
    """Return the project's services, and the addresses of those that mesh does not run.

    A service keeps its name as far as mesh's rules allow, and its host port. Its container port becomes an alias under
    each of its names, so that code which connects to `users:8080` reaches it. folder: for which the draft is made.
    """
    project = read_project(files, folder)
    declared = services_of(project)
    found = Composed(project.name, (*project.files, *project.variables.files))
    starts = {service.name: _start(service) for service in declared}
    ours = [service for service in declared if starts[service.name] is not None or is_image(service)]
    names: dict[str, str] = {}
    for service in ours:
        names[service.name] = service_name(service.name, names.values())
    ports = Ports(reserved=frozenset(port for service in ours for port, _ in service.ports))
    waits = [(name, how) for service in declared for name, how in service.depends_on.items()]
    ending = {name for name, how in waits if how == COMPLETED}
    images = {names[service.name] for service in ours if is_image(service)}
    drafting = _Drafting(folder, names, ports, {name for name, how in waits if how == HEALTHY}, images)
    for service in declared:
        if (start := starts[service.name]) is not None:
            found.sketches += drafting.sketches(service, start, service.name in ending)
        elif is_image(service):
            found.sketches.append(drafting.image(service))
        else:
            found.remarks.append(_left_out(service, relative(files[0], folder)))
            found.externals |= _external(service)
    found.remarks += _unset(project.variables)
    if project.written_out:
        place = relative(project.folder / ".env", folder)
        found.remarks.append(f"values of {place} are written out in env: {', '.join(sorted(project.written_out))}")
    return found


def _unset(variables: Variables) -> list[str]:
    """Return sentences about variables without a value, or one about the file that is missing for them."""
    file = variables.folder / ".env"
    if variables.unset and not file.exists() and (example := example_of(file)) is not None:
        names = ", ".join(variables.unset)
        return [f".env is missing, without which these have no value: {names}; copy it from {example.name}"]
    return [
        f"{key} names the variable {name}, which has no value; it is left empty"
        for name, key in variables.unset.items()
    ]


def _start(service: ComposeService) -> Started | FoundCode | None:
    """Return what the service starts of what is on this machine; None for an image that mesh does not run."""
    if service.context is None or not service.context.is_dir() or _SERVER_IMAGES.match(service.image.base):
        return None
    if image_name(service):
        return None
    if service.command is not None:
        env = {key: value for key, value in {**_of_files(service), **service.env}.items() if "$" not in value}
        port = {"PORT": str(service.ports[0][1])} if service.ports else {}
        if (start := started(service.command, {**port, **env}, service.image.local)) is not None:
            return start
    elif _starts_nothing(service) and not service.ports:
        return None
    code = codes(service.context)
    alike = (each for each in code if service_name(each.place.name) == service_name(service.name))
    found = code[0] if len(code) == 1 else next(alike, None)
    return Started(found.root, found.run) if found and found.run else found


def _starts_nothing(service: ComposeService) -> bool:
    """Return whether the service is built from an image without a command, and adds none."""
    is_built = service.context is not None and service.command is None
    return is_built and _STARTS_NOTHING.fullmatch(service.image.base) is not None


def _of_files(service: ComposeService) -> dict[str, str]:
    """Return the variables of the service's files, as far as they can be read."""
    found: dict[str, str] = {}
    for file in service.env_files:
        with suppress(OSError, DotenvError):
            found |= read_dotenv(Path(file.path), {**os.environ, **found}.get)
    return found


class _Drafting(Struct):
    """names: of the services that become sketches, by those in the file; images: those that are images.

    healthy: those that others wait for to be.
    """

    folder: Path
    names: Mapping[str, str]
    ports: Ports
    healthy: Collection[str]
    images: Collection[str]
    #: What ends before services start, by command, folder, variables and what came before: done once for all of them.
    _steps: dict[tuple[object, ...], Sketch] = field(default_factory=dict)

    def sketches(self, service: ComposeService, start: Started | FoundCode, is_waited_for: bool) -> list[Sketch]:
        """Return the service, after those of its commands that end before it starts."""
        name = self.names[service.name]
        if isinstance(start, FoundCode):
            return [self._of_code(service, start)]
        taken = [*self.names.values(), *(each.name for each in self._steps.values())]
        before: list[Sketch] = []
        earlier = ""
        for line in start.before:
            sketch = self._one_shot(service_name(f"{name}-{_verb(line)}", taken), service, start, line)
            key = (line, sketch.root, tuple(sketch.env.items()), str(sketch.env_files), *sketch.profiles, earlier)
            if (shared := self._steps.get(key)) is not None:
                # What one of the services needs beside images may need the other one.
                shared.depends_on = [each for each in shared.depends_on if each in self.images or each == earlier]
                earlier = shared.name
                continue
            sketch.depends_on = [earlier] if earlier else sketch.depends_on
            self._steps[key] = sketch
            before.append(sketch)
            taken.append(sketch.name)
            earlier = sketch.name
        if is_waited_for or (_ONE_SHOT.search(start.line) and not service.ports):
            sketch = self._one_shot(name, service, start, start.line)
        else:
            sketch = self._program(service, start)
        sketch.depends_on += [earlier] if earlier else []
        sketch.remarks += start.remarks
        return [*before, sketch]

    def image(self, service: ComposeService) -> Sketch:
        """Return a service that is run by a container engine, or by the program that is in its image."""
        sketch = self._sketch(self.names[service.name], service, self.folder)
        sketch.env = dict(service.env)  # Its paths are those of the container.
        sketch.image = image_name(service)
        if service.command is not None:
            sketch.command = shlex.join(words_of(service.command))
        sketch.volumes = [volume_here(volume, self.folder) for volume in (*copied(service), *service.volumes)]
        if service.context is not None:
            runs = [run for run in service.image.runs if not _PREPARES.match(run)]
            sketch.remarks += [f"the image is built by this as well: {run[:90]}" for run in runs]
        pairs = image_ports(service)
        for host, inside in pairs:
            given = self._given(sketch, host, inside)
            sketch.tcp_ports.append(given)
            names = dict.fromkeys((sketch.name, *service.names))
            sketch.tcp_aliases += [
                f"{name}:{inside}" for name in names if len(pairs) > 1 or inside != given or name != sketch.name
            ]
        return sketch

    def _program(self, service: ComposeService, start: Started) -> Sketch:
        sketch = self._sketch(self.names[service.name], service, start.root)
        sketch.run, sketch.command = start.run, start.command
        sketch.depends_on += self._waited_for(service, start)
        sketch.watch = _watched(service, start.root) if start.run else []
        sketch.env |= start.env
        facts = listening(start.run, start.root) if start.run else Listening()
        self._give_ports(sketch, service, facts)
        self._give_protos(sketch, service)
        if start.command:
            take_port_from_mesh(sketch, service)
            _take_program_from_npm(sketch, service)
        is_asked = start.command is not None or service.name in self.healthy
        if is_asked and (path := _health_path(service.health)) and sketch.http_ports:
            sketch.ready = path
        return sketch

    def _of_code(self, service: ComposeService, code: FoundCode) -> Sketch:
        sketch = self._sketch(self.names[service.name], service, code.root)
        sketch.app, sketch.servicers = code.app, list(code.servicers)
        sketch.watch = _watched(service, code.root)
        facts = Listening(bool(code.app), bool(code.servicers), code.http_port or 8001, code.grpc_port or 50051)
        self._give_ports(sketch, service, facts)
        self._give_protos(sketch, service)
        return sketch

    def _one_shot(self, name: str, service: ComposeService, start: Started, line: str) -> Sketch:
        """Return a service that runs a command to its end and listens on no port."""
        sketch = self._sketch(name, service, start.root)
        sketch.depends_on += self._waited_for(service, start)
        sketch.command, sketch.ready = line, "done"
        return sketch

    def _waited_for(self, service: ComposeService, start: Started) -> list[str]:
        """Return the services for which the command line waits itself."""
        return [name for host, name in self.names.items() if host in start.waits and host != service.name]

    def _sketch(self, name: str, service: ComposeService, root: Path) -> Sketch:
        sketch = Sketch(name, relative(root, self.folder))
        sketch.depends_on = [self.names[each] for each in service.depends_on if each in self.names]
        sketch.env = {key: _here(key, value, service, root) for key, value in service.env.items()}
        for file in service.env_files:
            path = relative(Path(file.path), self.folder)
            sketch.env_files.append(path if file.required else {"path": path, "required": False})
        sketch.requirements = _requirements(service, root, self.folder)
        sketch.profiles, sketch.grace = list(service.profiles), service.grace
        if service.unset:
            sketch.remarks.append(f"taken from mesh's own environment: {', '.join(service.unset)}")
        return sketch

    def _give_protos(self, sketch: Sketch, service: ComposeService) -> None:
        """Name the folders of .proto files where the image compiles them, or the code has none compiled."""
        assert service.context
        root = self.folder / sketch.root
        compiles = [run for run in service.image.runs if "protoc" in run]
        inside = [
            place for place in proto_folders(root) if sketch.grpc_port is not None or sketch.servicers or compiles
        ]
        if not inside and compiles:
            copied = [place for _, place in service.image.copies if place.is_dir() and any(place.rglob("*.proto"))]
            inside = [each for place in copied for each in proto_folders(place, compiled_too=True)]
        sketch.protos = list(dict.fromkeys(relative(place, self.folder) for place in inside))
        for run in service.image.runs:
            if re.search(r"\b(?:unzip|wget|curl|make)\b", run) and not re.search(r"\bap[tk]\b|apt-get", run):
                sketch.remarks.append(f"the image is built by this as well: {' '.join(run.split())[:90]}")

    def _give_ports(self, sketch: Sketch, service: ComposeService, facts: Listening) -> None:
        """Assign each of the service's ports to a listener, with the container's port as an alias."""
        listens = facts.http or facts.grpc
        pairs = list(service.ports if listens else service.published) or ports_of_code(service, facts)
        inner = [container for _, container in pairs]
        grpc = grpc_port_of(service, facts, inner)
        http = http_port_of(facts, [port for port in inner if port != grpc])
        for host, container in pairs:
            if container not in (grpc, http) and not sketch.command:
                sketch.remarks.append(f"port {container} is left out: no server was found for it")
                continue
            given = self._given(sketch, host, container)
            aliases = [f"{name}:{container}" for name in dict.fromkeys((*service.names, sketch.name))]
            if len(pairs) == 1:
                aliases = [alias for alias in aliases if alias != f"{sketch.name}:{given}"]
            if container == grpc:
                sketch.grpc_port, sketch.grpc_aliases = given, aliases
            else:
                sketch.http_ports.append(given)
                sketch.http_aliases += aliases

    def _given(self, sketch: Sketch, host: int, container: int) -> int:
        """Return the port on this machine; those below 1024 need privileges that Docker has and the user does not."""
        wanted = host or container
        if wanted >= 1024:
            return self.ports.claim(host) if host else self.ports.take(container)
        given = self.ports.take(8000 + wanted)
        if host:
            sketch.remarks.append(f"port {host}, which Compose publishes, needs privileges: mesh chose {given}")
        return given


def _requirements(service: ComposeService, root: Path, folder: Path) -> list[str]:
    """Return what the image installs by pip, where `mesh install` would not find the same beside the code or above."""
    lines = service.image.requires
    usual = requirement_files(root, folder)
    if usual is not None and list(lines) in ([f"-r {file}" for file in usual.files], [f"-e {usual.folder}"]):
        return []
    if installs_otherwise(service.image.runs) and not any(line.startswith("-r") for line in lines):
        return []
    return [required_from(root, line) for line in lines]


def _watched(service: ComposeService, root: Path) -> list[str]:
    """Return what reloads the service beside its code: usual folders, and those that Compose watches."""
    places = [Path(os.path.normpath(place)) for place in service.watched]
    below = [
        relative(place, root) for place in places if place != root and place.is_relative_to(root) and place.exists()
    ]
    return list(dict.fromkeys([*beside_code(root), *below]))


def _verb(line: str) -> str:
    """Return what a command does, for the name of its service."""
    words = [re.sub(r"[^a-z]", "", word.lower()) for word in line.split() if not word.startswith("-")]
    usual = [word for word in words if word in ("migrate", "upgrade", "collectstatic", "loaddata", "seed")]
    return next(iter([*usual, "before"]))


def _here(key: str, value: str, service: ComposeService, root: Path) -> str:
    """Return a variable's value with paths of the container as they are on this machine, relative to the root."""
    if not value.startswith("/"):
        return value
    image = service.image
    if key != "PYTHONPATH":
        place = image.local(value)
        return relative(place, root) if place else value
    found: list[str] = []
    for part in filter(None, value.split(":")):
        places = [*filter(None, [image.local(part)]), *image.around(part)]
        found += [relative(place, root) for place in places] or [part]
    return ":".join(dict.fromkeys(found))


def _health_path(words: Sequence[str]) -> str | None:
    found = re.search(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::\d+)?(/[^\s'\"|]*)", " ".join(words))
    return found[1] if found else None


def _left_out(service: ComposeService, file: str) -> str:
    if _starts_nothing(service):
        return f"{service.name} is left out: neither its Dockerfile nor {file} has a command"
    way = f"`docker compose -f {file} up -d {service.name}`"
    return f"{service.name} is left out (no Python code found): run it beside mesh, such as by {way}"


def _external(service: ComposeService) -> dict[str, str]:
    """Return the addresses on this machine at which a service that mesh does not run is expected."""
    pairs = [pair for pair in service.ports if pair[0]]
    return {f"{name}:{inside}": f"localhost:{host}" for host, inside in pairs for name in service.names}


def _take_program_from_npm(sketch: Sketch, service: ComposeService) -> None:
    """Let npx run a program that the image installs for everyone, such as nodemon."""
    program, space, rest = (sketch.command or "").partition(" ")
    everywhere = re.compile(rf"\bnpm (?:install|i)\b(?=.* (?:-g|--global)\b).* {re.escape(program)}(?:@\S+)?(?:\s|$)")
    if any(everywhere.search(run) for run in service.image.runs):
        sketch.command = f"npx --yes {program}{space}{rest}"

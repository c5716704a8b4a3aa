"""The environment whose packages a service uses, and the Python that it is for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from msgspec.structs import replace

from mesh.hosting.imports.sites.common_packages import is_loadable
from mesh.python_command import as_typed, with_given_port
from mesh.references import Reference
from mesh.topology.model import Service, Topology
from mesh.virtualenv import Virtualenv, nearest_virtualenv

_FLASK = re.compile(r"^\s*(?:from|import)\s+flask\b", re.MULTILINE)


def virtualenv_of(service: Service, declared: Topology) -> Virtualenv | None:
    """Return the service's virtual environment; None if it has none but mesh's own."""
    root, project = service.root or declared.folder, declared.folder
    if service.python is not None:
        found: Virtualenv | None = Virtualenv.at(service.python)
    else:
        found = nearest_virtualenv(root, project)
        if found is None and (made := installed_for(service, project)) is not None:
            found = Virtualenv.at(made)
    return None if found is None or found.is_mesh_own() else found


def installed_for(service: Service, project: Path) -> Path | None:
    """Return the environment that `mesh install` has made for what the service requires as it is now."""
    if not (project / ".mesh" / "venvs").is_dir():
        return None
    from mesh.hosting.packages.installation import installed
    from mesh.hosting.packages.requirement_files import requirements_of

    files = requirements_of(service, project)
    return None if files is None else installed(project, files)


def by_own_python(topology: Topology) -> Topology:
    """Return the topology; programs and applications whose environment mesh's Python cannot use are commands in it.

    That is one which `mesh install` has made for another version, since mesh's would not do, and one with extensions
    for another version.
    """
    services, remarks = [], list(topology.remarks)
    for service in topology:
        found = virtualenv_of(service, topology) if service.run is not None or _is_app(service) else None
        if found is None or found.python is None or not _is_for_another_python(found, topology):
            services.append(service)
            continue
        line = _command(service) if service.run is not None else _server(service, found)
        if line is None:
            services.append(service)
            continue
        version = ".".join(map(str, found.version or ()))
        remarks.append(f"{service.name}: its environment is for Python {version}: it runs by that, in its own process")
        watched = (*service.watch, "**/*.py")
        http = service.http and replace(service.http, app=None)
        services.append(replace(service, run=None, command=line, http=http, watch=watched))
    return topology.with_services(services, remarks=remarks) if services != list(topology) else topology


def _is_for_another_python(virtualenv: Virtualenv, topology: Topology) -> bool:
    version = virtualenv.version
    if version is None or is_loadable(virtualenv) or virtualenv.prefix is None:
        return False
    if virtualenv.prefix.is_relative_to(topology.folder / ".mesh"):
        return True
    extensions = f"*.cpython-{version[0]}{version[1]}-*.so"
    return any(next(folder.rglob(extensions), None) is not None for folder in virtualenv.packages)


def lacks_server(service: Service, topology: Topology) -> bool:
    """Return whether an application has an environment for another Python, and no server in it."""
    found = virtualenv_of(service, topology) if _is_app(service) else None
    return found is not None and _is_for_another_python(found, topology) and _server(service, found) is None


def _is_app(service: Service) -> bool:
    """Return whether the service is only an application, named by a text. mesh's example is not: it has no root."""
    http = service.http
    is_app = http is not None and isinstance(http.app, str) and not http.contracts
    return is_app and service.grpc is None and service.root is not None


def _server(service: Service, virtualenv: Virtualenv) -> str | None:
    """Return the command line that serves the service's application by its environment's server; None without one."""
    assert service.http
    app = Reference.parse(service.http.app)
    has = {name for name in ("flask", "uvicorn") if any((each / name).is_dir() for each in virtualenv.packages)}
    file = (service.root or Path()) / app.path
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    if "flask" in has and (_FLASK.search(text) or "uvicorn" not in has):
        return f'FLASK_APP={shlex.quote(service.http.app)} python -m flask run --port "$PORT"'  # before 2.2, too
    if "uvicorn" not in has:
        return None
    options = " --interface wsgi" if "get_wsgi_application" in text else ""
    options += " --factory" if app.call else ""
    return f'python -m uvicorn {shlex.quote(f"{app.module}:{app.attribute}")} --port "$PORT"{options}'


def _command(service: Service) -> str:
    """Return the program's command line for a shell; a port that it names becomes the one that mesh gives it."""
    line = as_typed(service.run or "")
    listener = service.http or service.grpc
    if listener is None or (service.http and service.grpc):
        return line
    inner = {int(alias.rpartition(":")[2]) for alias in listener.aliases}
    words = shlex.split(line)
    for port in {*listener.ports, *inner} - {0}:
        words = [with_given_port(word, port) for word in words]
    # Double quotes, in which a shell replaces it.
    return " ".join(f'"{word}"' if "$PORT" in word else shlex.quote(word) for word in words)

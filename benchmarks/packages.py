"""What a further service costs that has packages of its own: on one site, with a Django project, with a grpcio."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.rounds import Effort
from benchmarks.table import Goal, Row

ROOT = Path(__file__).parents[1]

FLASK = "import flask\napp = flask.Flask(__name__)\n"
#: It imports opentelemetry, and is executed for each service where that can be set up.
FASTAPI = "import fastapi\napp = fastapi.FastAPI()\n"
DJANGO = """\
import os
import django
from django.core.wsgi import get_wsgi_application
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()
from django.contrib import admin
app = get_wsgi_application()
"""
SETTINGS = """\
SECRET_KEY = "for a benchmark"
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib." + name for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
"""
GRPC = "import grpc.aio\nfrom google.protobuf import timestamp_pb2\napp = timestamp_pb2.Timestamp()\n"


#: By kind, what its rows are called, what they are compared with, and how many milliseconds are the goal.
ROWS = {
    "flask": ("a second service on a site", "the first, with Flask", 5),
    "fastapi": ("a second service, FastAPI with OpenTelemetry", "the first", None),
    "django": ("a second Django project", "the first", None),
    "grpc": ("a service with its own grpcio and protobuf", "those of mesh", None),
}


def rows(effort: Effort) -> Iterator[Row]:
    for kind, (what, against, goal) in ROWS.items():
        first, second = _medians(kind, effort)
        limit = None if goal is None else Goal("at most", goal, "figure")
        yield Row(what, second[0], against, first[0], "ms", limit)
        yield Row(f"{what}: memory", second[1], against, first[1], "MiB")


def _medians(kind: str, effort: Effort) -> list[tuple[float, float]]:
    """Milliseconds and MiB of the first service and of the second, each time in a new process."""
    code = f"from benchmarks.packages import report; report({kind!r})"
    found = []
    for _ in range(effort.rounds):
        told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
        found.append(json.loads(told.stdout))
    return [(median(each[n][0] for each in found), median(each[n][1] for each in found)) for n in (0, 1)]


def report(kind: str) -> None:
    """Load two services of the kind in this process, and print what each took."""
    from mesh.hosting.isolation import Isolation
    from mesh.service import ServiceContext, current_service_var
    from mesh.virtualenv import Virtualenv

    process = psutil.Process()
    found = []
    with tempfile.TemporaryDirectory() as folder, Isolation(lambda *line: None) as isolation:
        site = Virtualenv((_site(Path(folder), other_grpc=kind == "grpc"),))
        for number in (1, 2):
            context = ServiceContext(f"service{number}", _project(Path(folder) / f"service{number}", kind))
            own = None if kind == "grpc" and number == 1 else site
            before, began = process.memory_info().rss, time.perf_counter()
            code = isolation.add_service(context, {}, [context.root], virtualenv=own)
            current_service_var.set(context)
            code.load("app:app")
            took = (time.perf_counter() - began) * 1000
            found.append((took, (process.memory_info().rss - before) / 1024**2))
        current_service_var.set(None)
    print(json.dumps(found))


def _project(root: Path, kind: str) -> Path:
    root.mkdir()
    (root / "app.py").write_text({"flask": FLASK, "fastapi": FASTAPI, "django": DJANGO, "grpc": GRPC}[kind])
    (root / "settings.py").write_text(SETTINGS)
    (root / "urls.py").write_text("urlpatterns = []\n")
    return root


def _site(folder: Path, other_grpc: bool) -> Path:
    """Return a site-packages folder with the packages of mesh's, linked; its grpcio and protobuf look like others."""
    site = folder / "site-packages"
    site.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.suffix != ".pth" and not entry.name.startswith(("_", "mesh")):
            (site / entry.name).symlink_to(entry)
    for name in ("grpcio", "protobuf") if other_grpc else ():
        (site / f"{name}-{version(name)}.dist-info").rename(site / f"{name}-0.dist-info")
    return site

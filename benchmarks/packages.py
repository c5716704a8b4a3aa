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


_LEFT_OUT = ("_", "mesh")

FLASK = "import flask\napp = flask.Flask(__name__)\n"
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


def rows(effort: Effort) -> Iterator[Row]:
    first, second = _medians("flask", effort)
    against = "the first, with Flask"
    yield Row("a second service on a site", second[0], against, first[0], "ms", Goal("at most", 5, "figure"))
    yield Row("a second service on a site: memory", second[1], against, first[1], "MiB")
    first, second = _medians("django", effort)
    yield Row("a second Django project", second[0], "the first", first[0], "ms")
    yield Row("a second Django project: memory", second[1], "the first", first[1], "MiB")
    first, second = _medians("grpc", effort)
    yield Row("grpcio and protobuf of its own", second[0], "those of mesh", first[0], "ms")
    yield Row("grpcio and protobuf of its own: memory", second[1], "those of mesh", first[1], "MiB")


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
    (root / "app.py").write_text({"flask": FLASK, "django": DJANGO, "grpc": GRPC}[kind])
    (root / "settings.py").write_text(SETTINGS)
    (root / "urls.py").write_text("urlpatterns = []\n")
    return root


def _site(folder: Path, other_grpc: bool) -> Path:
    """Return a site-packages folder with the packages of mesh's, linked; its grpcio and protobuf look like others."""
    site = folder / "site-packages"
    site.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.suffix != ".pth" and not entry.name.startswith(_LEFT_OUT):
            (site / entry.name).symlink_to(entry)
    for name in ("grpcio", "protobuf") if other_grpc else ():
        (site / f"{name}-{version(name)}.dist-info").rename(site / f"{name}-0.dist-info")
    return site

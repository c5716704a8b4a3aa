"""Services that are images: by a container engine, or by the installed program, with the database that they ask for."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from mesh.hosting.images import containers
from mesh.hosting.images.installed import installed
from mesh.runtime.messages import Stop
from mesh.runtime.options import Options
from tests.support.supervised import ECHO, PATIENCE, supervised

DATABASE = """\
[services.db]
image = "postgres:16-alpine"
tcp = { port = 6432, aliases = ["db:5432"] }
env = { POSTGRES_USER = "shop", POSTGRES_PASSWORD = "it's \\"secret\\"", POSTGRES_DB = "or-ders" }
volumes = ["./first:/docker-entrypoint-initdb.d", "kept:/var/lib/postgresql/data"]

[services.web]
http = { port = 0, app = "web:app" }
depends_on = ["db"]
env = { PGHOST = "db", PGUSER = "shop", PGPASSWORD = "it's \\"secret\\"", PGDATABASE = "or-ders" }
"""

#: Asks by every client the same, and answers with what each was told.
WEB = """\
import asyncio, os
from urllib.parse import quote

import asyncpg, psycopg, psycopg2, sqlalchemy
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

ASKED = "SELECT sum(cents)::int FROM price"
GIVEN = dict(host="db", user="shop", password=os.environ["PGPASSWORD"], dbname="or-ders")
URL = sqlalchemy.URL.create("postgresql", "shop", GIVEN["password"], "db", 5432, "or-ders")
TEXT = f"postgresql://shop:{quote(GIVEN['password'])}@db/or-ders"


def asked_in_a_thread():
    with psycopg.connect(TEXT) as connection:
        yield "psycopg", connection.execute(ASKED).fetchone()[0]
    with psycopg.Connection.connect(**GIVEN, autocommit=True) as connection:
        yield "psycopg by name", connection.execute(ASKED).fetchone()[0]
    with psycopg.connect() as connection:
        yield "psycopg by variables", connection.execute(ASKED).fetchone()[0]
    for made in (lambda: psycopg2.connect(TEXT), lambda: psycopg2.connect(**GIVEN), psycopg2.connect):
        connection = made()
        cursor = connection.cursor()
        cursor.execute(ASKED)
        yield f"psycopg2 {len(connection.dsn) > 0}", cursor.fetchone()[0]
        connection.close()
    for driver in ("psycopg", "psycopg2"):
        engine = sqlalchemy.create_engine(URL.set(drivername=f"postgresql+{driver}"))
        with engine.connect() as connection:
            yield f"sqlalchemy {driver}", connection.execute(sqlalchemy.text(ASKED)).scalar()
        engine.dispose()


async def page(request):
    found = dict(await asyncio.to_thread(lambda: list(asked_in_a_thread())))
    connection = await asyncpg.connect(TEXT)
    if request.query_params:
        await connection.execute("INSERT INTO price VALUES ($1)", int(request.query_params["add"]))
    found["asyncpg"] = await connection.fetchval(ASKED)
    await connection.close()
    async with await psycopg.AsyncConnection.connect(TEXT) as connection:
        found["psycopg async"] = (await (await connection.execute(ASKED)).fetchone())[0]
    return JSONResponse(found)


app = Starlette(routes=[Route("/", page)])
"""

CLIENTS = {
    "psycopg",
    "psycopg by name",
    "psycopg by variables",
    "psycopg2 True",
    "sqlalchemy psycopg",
    "sqlalchemy psycopg2",
    "asyncpg",
    "psycopg async",
}
FIRST = {
    "first/1.sql": "CREATE TABLE price (cents int);\n",
    "first/2.sh": 'psql -q -c "INSERT INTO price VALUES (1999)" -c "INSERT INTO price VALUES (1)"\n',
}


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "engine", lambda: None)


@pytest.mark.usefixtures("without_engine")
def test_an_installed_postgres_is_the_database_that_the_image_would_be(tmp_path: Path) -> None:
    files = {"mesh.toml": DATABASE, "web.py": WEB, **FIRST}
    with supervised(tmp_path, files, Options(data=tmp_path / "kept data", start_within=PATIENCE)) as project:
        assert project.get("web", "/").json() == dict.fromkeys(CLIENTS, 2000)
        added = project.get("web", "/?add=5").json()
        assert (added["asyncpg"], added["psycopg async"]) == (2005, 2005)
    with supervised(tmp_path, files, Options(data=tmp_path / "kept data", start_within=PATIENCE)) as project:
        assert project.get("web", "/").json() == dict.fromkeys(CLIENTS, 2005)


@pytest.mark.usefixtures("without_engine")
def test_a_database_in_memory_begins_anew(tmp_path: Path) -> None:
    files = {"mesh.toml": DATABASE, "web.py": WEB, **FIRST}
    for _ in range(2):
        with supervised(tmp_path, files) as project:
            assert project.get("web", "/?add=7").json()["asyncpg"] == 2007


@pytest.mark.usefixtures("without_engine")
def test_a_database_reads_its_secrets_from_mounted_files(tmp_path: Path) -> None:
    toml = """\
        [services.db]
        image = "postgres"
        tcp = { port = 6432 }
        volumes = ["./password.txt:/run/secrets/password:ro", "./name.txt:/run/secrets/name:ro", "/var/lib/more"]
        env = { POSTGRES_PASSWORD_FILE = "/run/secrets/password", POSTGRES_DB_FILE = "/run/secrets/name" }
        """
    files = {"mesh.toml": toml, "password.txt": "it's secret\n", "name.txt": "shop\n"}
    with supervised(tmp_path, files, Options(start_within=PATIENCE)) as project:
        port = project.supervisor.directory.address("db", "tcp").port
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "postgres", "dbname": "shop"}
        with psycopg.connect(**given, password="it's secret") as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("shop",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**given, password="wrong")


@pytest.mark.usefixtures("without_engine")
def test_a_database_does_not_wait_for_clients_that_stay(tmp_path: Path) -> None:
    toml = """\
        [services.db]
        image = "postgres"
        tcp = { port = 6432 }
        env = { POSTGRES_PASSWORD = "secret" }
        """
    with supervised(tmp_path, {"mesh.toml": toml}, Options(grace=PATIENCE)) as project:
        port = project.supervisor.directory.address("db", "tcp").port
        connection = psycopg.connect(f"postgresql://postgres:secret@127.0.0.1:{port}/postgres")
        project.supervisor.post(Stop("requested", 0))
        project.line("db", "received fast shutdown request")
        project.change("db", "stopped")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


@pytest.mark.usefixtures("without_engine")
def test_a_mistake_in_a_first_script_is_told_and_leaves_no_half_database(tmp_path: Path) -> None:
    files = {"mesh.toml": DATABASE, "web.py": ECHO, "first/1.sql": "CREATE TABLEAU price;\n"}
    data = tmp_path / "data"
    with supervised(tmp_path, files, Options(data=data, start_within=PATIENCE)) as project:
        project.line("db", 'syntax error at or near "TABLEAU"')
        project.change("db", "failed", "image postgres:16-alpine")
        assert not (data / "db").exists()
    # The server that ran the scripts is a daemon of its own.
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if str(data) in line] == []


#: Stands for docker's command: it records its words, and forwards a port to a process that is ready a little later.
DOCKER = """\
#!{python}
import json, os, socket, sys

with open({record!r}, "a") as file:
    print(json.dumps([sys.argv[1:], os.environ.get("POSTGRES_PASSWORD")]), file=file)
if sys.argv[1] == "run":
    host, port, inside = sys.argv[sys.argv.index("-p") + 1].split(":")
    server = socket.create_server((host, int(port)))
    for count in range(1000):
        connection, _ = server.accept()
        if count < 2:
            connection.close()  # as docker's proxy does until the container listens
        else:
            print("asked", count, flush=True)
"""


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of what docker's command, in whose place another one is, was told."""
    program, record = tmp_path / "bin" / "docker", tmp_path / "record"
    program.parent.mkdir()
    program.write_text(DOCKER.format(python=sys.executable, record=str(record)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    containers.engine.cache_clear()
    yield record
    containers.engine.cache_clear()


def test_a_container_engine_that_answers_runs_the_image(tmp_path: Path, recorded: Path) -> None:
    toml = """\
        [mesh]
        name = "the shop"
        [services.db]
        image = "postgres:16"
        command = "postgres -c log_statement=all"
        tcp = { port = 6432, aliases = ["db:5432"] }
        env = { POSTGRES_PASSWORD = "secret" }
        volumes = ["./first:/first:ro", "kept:/var/lib/postgresql/data"]
        """
    with supervised(tmp_path, {"mesh.toml": toml, "first/x": ""}) as project:
        project.line("db", "asked 2")
        port = project.supervisor.directory.address("db", "tcp").port
        told = [json.loads(line) for line in recorded.read_text().splitlines()]
    docker_run = ["run", "--rm", "--init", "--name", "mesh-the-shop-db", "-p", f"127.0.0.1:{port}:5432"]
    docker_run += ["-e", "POSTGRES_PASSWORD", "-v", f"{tmp_path}/first:/first:ro"]
    docker_run += ["-v", "the shop_kept:/var/lib/postgresql/data", "postgres:16", "postgres", "-c", "log_statement=all"]
    assert [words for words, _ in told] == [
        ["version", "--format", "{{.Server.Version}}"],
        ["rm", "-f", "mesh-the-shop-db"],
        docker_run,
    ]
    assert told[-1][1] == "secret"
    assert project.supervisor.snapshot["db"].state == "stopped"


@pytest.mark.usefixtures("without_engine")
def test_an_image_of_bitnami_has_variables_of_its_own(tmp_path: Path) -> None:
    toml = """\
        [services.db]
        image = "docker.io/bitnamilegacy/postgresql:16"
        tcp = { port = 6432 }
        env = { POSTGRESQL_USERNAME = "shop", POSTGRESQL_PASSWORD = "it's", POSTGRESQL_DATABASE = "orders" }
        """
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        port = project.supervisor.directory.address("db", "tcp").port
        with psycopg.connect(f"host=127.0.0.1 port={port} user=shop password=it\\'s dbname=orders") as connection:
            found = connection.execute("SELECT current_user, current_database()").fetchone()
    assert found == ("shop", "orders")


@pytest.mark.usefixtures("without_engine")
@pytest.mark.skipif(installed("redis-server") is None, reason="Redis is not installed")
@pytest.mark.parametrize(
    ("image", "given", "password"),
    [
        ("bitnami/redis:7", 'REDIS_PASSWORD = "se\\"cr\\\\et"', 'se"cr\\et'),
        ("bitnami/valkey", 'VALKEY_PASSWORD = "secret"', "secret"),
        ("bitnami/redis", 'ALLOW_EMPTY_PASSWORD = "yes"', ""),
    ],
)
def test_a_real_redis_has_the_password_of_its_image(tmp_path: Path, image: str, given: str, password: str) -> None:
    toml = f'[services.cache]\nimage = "{image}"\ntcp = 6379\nenv = {{ {given} }}\n'
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        address = project.supervisor.directory.address("cache", "tcp")
        with socket.create_connection((address.host, address.port), 10) as client, client.makefile("rwb") as stream:

            def answer(*words: str) -> bytes:
                stream.write(b"*%d\r\n" % len(words))
                for word in words:
                    stream.write(b"$%d\r\n%s\r\n" % (len(word), word.encode()))
                stream.flush()
                return stream.readline().strip()

            if password:
                assert answer("PING").startswith(b"-NOAUTH")
                assert answer("AUTH", password) == b"+OK"
            assert answer("PING") == b"+PONG"


@pytest.mark.usefixtures("without_engine")
def test_an_installed_redis_gets_the_port_the_folder_and_its_own_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport socket, sys\nprint(sys.argv[1:], flush=True)\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1])))\n"
        "kept = []\nwhile True: kept.append(server.accept())\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    toml = """\
        [services.cache]
        image = "docker.io/library/redis:7@sha256:00"
        command = "redis-server /etc/redis.conf --requirepass secret"
        tcp = 6379
        """
    data = tmp_path / "data"
    with supervised(tmp_path, {"mesh.toml": toml}, Options(data=data, start_within=PATIENCE)) as project:
        port = project.supervisor.directory.address("cache", "tcp").port
        words = ["--requirepass", "secret", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data / "cache")]
        project.line("cache", str(words))
        assert project.supervisor.snapshot["cache"].state == "ready"


@pytest.mark.usefixtures("without_engine")
@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("traefik:3", "mesh knows no program for traefik:3"),
        ("mongo", "mongod is not installed"),
        ("registry.test:5000/team/postgres:1", "mesh knows no program for registry.test:5000/team/postgres:1"),
    ],
)
def test_without_an_engine_or_a_program_the_ways_out_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, told: str
) -> None:
    monkeypatch.setattr("mesh.hosting.images.programs.installed", lambda name: None)
    toml = f'[services.front]\nimage = "{image}"\ntcp = {{ port = 8080, aliases = ["front:80"] }}\n'
    with supervised(tmp_path, {"mesh.toml": toml}) as project:
        reason = project.change("front", "failed").reason
    assert reason == (
        f"image {image} cannot be started: no docker or podman runs here, and {told}; start docker, or leave it out by "
        '--except front and say where it is by [externals] "front:80" = "host:port"'
    )

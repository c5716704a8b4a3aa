"""Names of services, and of what runs elsewhere, in programs that run in processes of their own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.hosting import child_names
from mesh.runtime.options import Options
from mesh.topology.model import Address
from tests.support.supervised import ECHO, PATIENCE, supervised
from tests.support.virtualenvs import make_virtualenv

PROGRAM = """\
import asyncio, json, os, socket, urllib.request

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc


def http(host):
    with urllib.request.urlopen(f"http://{host}/from-{host}", timeout=30) as answer:
        return answer.read().decode()


async def by_asyncio(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /asyncio HTTP/1.0\\r\\nHost: web\\r\\n\\r\\n")
    answer = await reader.read()
    writer.close()
    return "/asyncio" if b"/asyncio" in answer else repr(answer)


def by_grpc(target):
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True).status


print("found", json.dumps({
    "service": http("web:8080"),
    "alias": http("front:80"),
    "localhost": http("localhost:18080"),
    "external": http("outside:81"),
    "asyncio": asyncio.run(by_asyncio("web", 8080)),
    "uvloop": uvloop.run(by_asyncio("web", 8080)),
    "gethostbyname": socket.gethostbyname("web"),
    "grpc": [by_grpc("users:50051"), by_grpc("dns:///users:50051")],
}), flush=True)
"""

SERVICER = """\
class Nothing:
    pass


def add(server):
    pass
"""


def test_a_python_program_reaches_them_as_its_code_calls_them(tmp_path: Path) -> None:
    toml = """\
        [externals]
        outside = "localhost:18080"

        [services.web]
        http = { port = 18080, app = "web:app", aliases = ["web:8080", "front:80"], hosts = ["outside"] }

        [services.users]
        grpc = { port = 15051, servicers = ["users:add"], aliases = ["users:50051"] }

        [services.job]
        command = "exec python job.py"
        ready = "done"
        depends_on = ["web", "users"]
        """
    files = {"mesh.toml": toml, "web.py": ECHO, "users.py": SERVICER, "job.py": PROGRAM}
    with supervised(tmp_path, files) as project:
        found = json.loads(project.line("job", "found {").text.removeprefix("found "))
        project.change("job", "done")
    assert found == {
        "service": "/from-web:8080",
        "alias": "/from-front:80",
        "localhost": "/from-localhost:18080",
        "external": "/from-outside:81",
        "asyncio": "/asyncio",
        "uvloop": "/asyncio",
        "gethostbyname": "127.0.0.1",
        "grpc": [1, 1],
    }


def test_psycopg_in_a_child_reaches_the_database_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.hosting.images.containers.engine", lambda: None)
    toml = """\
        [services.db]
        image = "postgres"
        tcp = { port = 6432, aliases = ["db:5432"] }
        env = { POSTGRES_PASSWORD = "secret" }

        [services.job]
        command = "exec python job.py"
        ready = "done"
        depends_on = ["db"]
        env = { DB_HOST = "db", DATABASE_URL = "postgresql+psycopg://postgres:secret@db/postgres" }
        """
    program = """\
        import asyncio, os, psycopg, psycopg2, sqlalchemy
        given = dict(host=os.environ["DB_HOST"], user="postgres", password="secret", dbname="postgres")
        with psycopg.connect(**given) as connection:
            print("psycopg", connection.execute("SELECT 1").fetchone())
        connection = psycopg2.connect(**given)
        print("psycopg2", connection.info.host)
        connection.close()
        async def later():
            async with await psycopg.AsyncConnection.connect("host=db port=5432 password=secret user=postgres") as one:
                print("async", await (await one.execute("SELECT 2")).fetchone())
        asyncio.run(later())
        with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
            print("url", connection.execute(sqlalchemy.text("SELECT 3")).one())
        """
    with supervised(tmp_path, {"mesh.toml": toml, "job.py": program}, Options(start_within=PATIENCE)) as project:
        for line in ("psycopg (1,)", "psycopg2 127.0.0.1", "async (2,)", "url (3,)"):
            project.line("job", line)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("users:8080", "127.0.0.1:9001"),
        ("http://users:8080/path?to=users", "http://127.0.0.1:9001/path?to=users"),
        ("http://Users:8080", "http://127.0.0.1:9001"),
        ("postgresql://a:b@db:5432/x", "postgresql://a:b@127.0.0.1:6432/x"),
        ("postgresql+asyncpg://a:b@db/x", "postgresql+asyncpg://a:b@127.0.0.1:6432/x"),
        ("postgresql://a:db@db", "postgresql://a:db@127.0.0.1:6432"),
        ("postgresql://a:b@db:5432/db", "postgresql://a:b@127.0.0.1:6432/db"),
        ("postgresql://a:b@db/db", "postgresql://a:b@127.0.0.1:6432/db"),
        ("any:77,any:78", "127.0.0.1:7000,127.0.0.1:7000"),
        ("http://users:80801", "http://users:80801"),
        ("my-users:8080", "my-users:8080"),
        ("users:8080.example", "127.0.0.1:9001.example"),
        ("http://db/x", "http://db/x"),
        ("localhost:9001", "localhost:9001"),
        ("db", "db"),
    ],
)
def test_names_in_variables_become_addresses(value: str, expected: str) -> None:
    names = {
        ("users", 8080): Address("127.0.0.1", 9001),
        ("localhost", 9001): Address("127.0.0.1", 9002),
        ("db", 5432): Address("127.0.0.1", 6432),
        ("any", 0): Address("127.0.0.1", 7000),
        ("gone", 1): Address("127.0.0.1", 0),
    }
    assert child_names.rewritten({"VALUE": value}, names) == {"VALUE": expected}


def test_a_sitecustomize_of_the_environment_runs_as_well(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('customized')\n")
    names = {("users", 8080): Address("127.0.0.1", 9001)}
    variables = child_names.variables(names, {"PYTHONPATH": str(tmp_path)})
    code = "import sitecustomize, socket; print(sitecustomize.actual('users', '8080'), sitecustomize.actual('x', 1))"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == "customized\n('127.0.0.1', 9001) ('x', 1)\n"


def test_without_names_that_lead_elsewhere_nothing_is_changed() -> None:
    assert child_names.variables({("localhost", 5000): Address("127.0.0.1", 5000)}, {}) == {}


#: As mysqlclient makes its class; the address is what its C library would be given.
MYSQLDB = """\
class Connection:
    def __init__(self, *args, **options):
        given = {**dict(zip(("host", "user", "password", "database", "port"), args)), **options}
        self.address = given.get("host"), given.get("port"), given["user"]

def connect(*args, **options):
    return Connection(*args, **options)
"""
MYSQL_USER = """\
from MySQLdb import connections

def found():
    yield connections.connect(host="db", user="shop").address
    yield connections.connect("db", "shop", "secret", "orders", 3306).address
    yield connections.connect(host="localhost", user="shop").address
    yield connections.connect(host="db", user="shop", unix_socket="/run/s").address
    yield connections.connect(user="shop").address
print(list(found()), flush=True)
"""


def test_mysqlclient_reaches_the_database_by_its_name_in_a_thread_and_in_a_child(tmp_path: Path) -> None:
    make_virtualenv(tmp_path / ".venv", {"MySQLdb/__init__.py": "", "MySQLdb/connections.py": MYSQLDB})
    toml = """\
        [externals]
        "db:3306" = "127.0.0.1:7306"

        [services.web]
        http = { port = 0, app = "web:app" }

        [services.job]
        command = "exec .venv/bin/python asks.py"
        ready = "done"
        """
    actual = ("127.0.0.1", 7306, "shop")
    expected = [actual, actual, ("localhost", None, "shop"), ("db", None, "shop"), (None, None, "shop")]
    with supervised(tmp_path, {"mesh.toml": toml, "web.py": "import asks\n" + ECHO, "asks.py": MYSQL_USER}) as project:
        for service in ("web", "job"):
            assert project.line(service, "[(").text == str(expected)


def test_what_other_pythons_import_at_their_start_has_the_syntax_of_python_3_6() -> None:
    tree = ast.parse((Path(child_names.__file__).parent / "sitecustomize.py").read_text(), feature_version=(3, 6))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    arguments = [each for found in functions for each in ast.walk(found.args) if isinstance(each, ast.arg)]
    evaluated = [*(each.annotation for each in arguments), *(each.returns for each in functions)]
    assert functions
    assert [ast.unparse(each) for each in evaluated if isinstance(each, ast.Subscript | ast.BinOp)] == []
    assert not any(isinstance(each, ast.ImportFrom) and each.module == "__future__" for each in tree.body)

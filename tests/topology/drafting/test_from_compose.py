"""Services of Compose files as mesh would run them; each kind is one that a public repository has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.topology.drafting.draft import draft
from mesh.topology.loading import load
from mesh.topology.model import Address, Grpc, Http, Service, Tcp
from tests.topology.drafting.composing import FASTAPI, SERVER, composed

COMPOSE = """\
name: shop
x-common: &common
  restart: always
services:
  gateway:
    <<: *common
    build: ./gateway
    command: ["uvicorn", "main:api", "--host", "0.0.0.0", "--port", "80"]
    ports:
      - "127.0.0.1:8000:80"
      - "8443:443/udp"
    environment:
      - USERS_ADDRESS=users_service:50051
      - NOT_SET_ANYWHERE
      - PASSWORD
    depends_on:
      users_service:
        condition: service_started
      db:
        condition: service_healthy
  users_service:
    build:
      context: ./users
    container_name: users
    environment:
      DATABASE_URL: postgres://shop:${PASSWORD:-secret}@db:5432/users
      DEBUG: true
    ports:
      - target: 8080
        published: "50051"
    depends_on: [db]
  worker:
    build: ./users
    command: celery -A tasks worker
    env_file: [users/worker.env, {path: local.env, required: false}]
  frontend:
    build: ./frontend
    ports: ["3001:3000"]
  db:
    image: postgres:16
    ports: ["5433:5432"]
"""


def test_the_drafted_text_is_commented_and_readable(tmp_path: Path) -> None:
    composed(
        tmp_path,
        COMPOSE,
        gateway__main_py=FASTAPI.replace("app =", "api ="),
        users__Dockerfile='FROM python\nWORKDIR /app\nCOPY . .\nEXPOSE 8080\nCMD ["python", "server.py"]\n',
        users__server_py=SERVER,
        frontend__Dockerfile='FROM node\nCOPY . .\nENV PORT=3000\nEXPOSE 3000\nCMD ["npm", "run", "start"]\n',
        **{"users/worker.env": "QUEUE=mail\n", ".env": "PASSWORD=hidden\n"},
    )
    assert (
        draft(tmp_path).text
        == """\
# Drafted by `mesh init` from compose.yaml.
# `mesh check` reads it, `mesh up` runs it, `mesh up --only NAME` runs a part.

[mesh]
name = "shop"

# taken from mesh's own environment: NOT_SET_ANYWHERE
[services.gateway]
root = "gateway"
run = "uvicorn main:api --host 0.0.0.0 --port 80"
http = { port = 8000, aliases = ["gateway:80"] }
depends_on = ["users-service", "db"]
env = { USERS_ADDRESS = "users_service:50051", PASSWORD = "${PASSWORD}" }

[services.users-service]
root = "users"
run = "python server.py"
grpc = { port = 50051, aliases = ["users_service:8080", "users:8080", "users-service:8080"] }
depends_on = ["db"]
env = { DATABASE_URL = "postgres://shop:${PASSWORD:-secret}@db:5432/users", DEBUG = "true" }

[services.worker]
root = "users"
command = "celery -A tasks worker"
env_file = ["users/worker.env", { path = "local.env", required = false }]

[services.frontend]
root = "frontend"
command = "npm run start"
http = { port = 3001, aliases = ["frontend:3000"] }

[services.db]
image = "postgres:16"
tcp = { port = 5433, aliases = ["db:5432"] }
"""
    )


def test_what_is_drafted_is_what_runs(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        COMPOSE,
        gateway__main_py=FASTAPI,
        users__server_py=SERVER,
        **{"users/worker.env": "QUEUE=mail\n", ".env": "PASSWORD=hidden\n"},
    )
    assert topology.name == "shop"
    assert topology.externals == {"frontend:3000": Address("localhost", 3001)}
    assert topology["gateway"].env == {"USERS_ADDRESS": "users_service:50051", "PASSWORD": "hidden"}
    assert topology["users-service"].env["DATABASE_URL"] == "postgres://shop:hidden@db:5432/users"
    assert topology["worker"].env == {"QUEUE": "mail"}
    assert topology.files == {tmp_path / name for name in ("users/worker.env", "local.env", ".env")}


def test_files_are_merged_extended_and_included_as_compose_does(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
include: [extra/compose.yaml]
services:
  web:
    extends: {file: base/common.yaml, service: python}
    command: uvicorn app:app --port ${WEB_PORT:-8000}
    ports: ["8000:8000"]
    environment: {A: "1", B: "1"}
    depends_on: [mail]
""",
        base__common_yaml="""\
services:
  python:
    build: ../web
    environment: [LEVEL=debug, A=0]
    env_file: common.env
""",
        extra__compose_yaml="services: {mail: {build: ., command: python mail.py}}\n",
        extra__mail_py="print('mail')\n",
        web__app_py=FASTAPI,
        **{
            "base/common.env": "COMMON=yes\n",
            "compose.override.yaml": "services: {web: {environment: {B: '2'}, ports: !override ['9000:8000']}}\n",
        },
    )
    web, mail = topology["web"], topology["mail"]
    assert web.run == "uvicorn app:app --port 8000"
    assert web.http == Http((9000,), aliases=("web:8000",))
    assert (web.root, web.env) == (tmp_path / "web", {"COMMON": "yes", "LEVEL": "debug", "A": "1", "B": "2"})
    assert (mail.root, mail.run) == (tmp_path / "extra", "python mail.py")
    assert web.depends_on == ("mail",)
    named = ("compose.override.yaml", "base/common.yaml", "extra/compose.yaml", "base/common.env", ".env")
    assert topology.files == {tmp_path / name for name in named}


def test_the_folder_is_the_one_that_the_image_has_the_code_from(tmp_path: Path) -> None:
    """The build context is not where the program runs (I1), and the command is ENTRYPOINT and CMD together (I6)."""
    topology = composed(
        tmp_path,
        "services: {a: {build: {context: ., dockerfile: docker/a}}, b: {build: b, ports: ['5005:5000']}}\n",
        docker__a="FROM python\nWORKDIR /srv\nCOPY handler ./handler\nCMD gunicorn -b :${PORT:-8000} handler.wsgi\n",
        handler__wsgi_py=FASTAPI,
        b__Dockerfile='FROM python AS a\nWORKDIR /code\nFROM a\nCOPY src/ .\nENTRYPOINT ["python"]\nCMD ["run.py"]\n',
        b__src__run_py="from flask import Flask\napp = Flask(__name__)\napp.run(port=5000)\n",
    )
    assert (topology["a"].root, topology["a"].run) == (tmp_path, "gunicorn -b :8000 handler.wsgi")
    assert topology["a"].http == Http((8000,))
    assert (topology["b"].root, topology["b"].run) == (tmp_path / "b/src", "python run.py")
    assert topology["b"].http == Http((5005,), aliases=("b:5000",))


def test_a_package_that_the_image_has_under_another_name_is_told(tmp_path: Path) -> None:
    composed(
        tmp_path,
        "services: {a: {build: ., ports: ['8000:8000']}}\n",
        Dockerfile="FROM python\nWORKDIR /srv\nCOPY . ./handler\nCMD gunicorn handler.wsgi:app\n",
        wsgi_py=FASTAPI,
    )
    assert (
        "# the image has wsgi as handler.wsgi; what imports it by that name needs a folder called handler\n"
        '[services.a]\nrun = "gunicorn wsgi:app"\n'
    ) in draft(tmp_path).text


def test_variables_of_the_image_come_before_those_of_the_service(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {a: {build: {context: ., args: {LEVEL: warn}}, environment: {B: mine}}}\n",
        Dockerfile="""\
FROM python:3.12
ARG LEVEL=info
ENV LOG_LEVEL=$LEVEL A="two words" B=1
ENV OLD form
ENV PYTHONPATH=/app/src CONFIG=/app/config.yaml PRICE='5$'
WORKDIR /app
COPY . /app
CMD ["python", "src/main.py"]
""",
        src__main_py="print('hi')\n",
        **{"config.yaml": "a: 1\n"},
    )
    assert topology["a"].env == {
        "LOG_LEVEL": "warn",
        "A": "two words",
        "B": "mine",
        "OLD": "form",
        "PYTHONPATH": "src",
        "CONFIG": "config.yaml",
        "PRICE": "5$",
    }


def test_a_python_path_leads_to_every_folder_that_has_a_part_of_it(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  auth:
    build: ./services/auth
    command: uvicorn app.main:app --port 8000
    environment: {PYTHONPATH: "/usr/src:/opt/none"}
    volumes: ["./services/auth:/usr/src/app", "./db/models:/usr/src/models", "./proto:/usr/src/proto"]
""",
        services__auth__Dockerfile="FROM python:3.12\nWORKDIR /usr/src/app\nCOPY . .\n",
        services__auth__app__main_py="app = None\n",
        db__models__init_py="",
        proto__init_py="",
    )
    assert topology["auth"].env == {"PYTHONPATH": "../../db:../..:/opt/none"}


def test_a_folder_called_dotenv_holds_files_of_variables(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {web: {build: ., env_file: .env/.dev, environment: ['B=${B:-none}']}}\n",
        Dockerfile="FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD uvicorn app:app\n",
        app_py=FASTAPI,
        **{".env/.dev": "A=1\n"},
    )
    assert topology["web"].env == {"A": "1", "B": "none"}


NGINX = {
    "COPY page.conf /etc/nginx/conf.d": ["./proxy/page.conf:/etc/nginx/conf.d/page.conf"],
    "RUN rm /etc/nginx/conf.d/default.conf\nCOPY page.conf /etc/nginx/conf.d/\nCOPY pages /usr/share/nginx/html": [
        "./proxy/page.conf:/etc/nginx/conf.d/page.conf",
        "./proxy/pages:/usr/share/nginx/html",
        "/dev/null:/etc/nginx/conf.d/default.conf",
    ],
    'COPY page.conf /etc/nginx/nginx.conf\nCMD ["nginx", "-g", "daemon off;"]': [
        "./proxy/page.conf:/etc/nginx/nginx.conf"
    ],
    "COPY page.conf /etc/nginx/templates/page.conf.template": None,
    "COPY page.conf /etc/nginx/conf.d/\nCOPY not-built /usr/share/nginx/html": None,
    "COPY page.conf /etc/nginx/conf.d/\nCOPY start.sh /start.sh\nCMD /start.sh": None,
    "COPY page.conf /etc/nginx/conf.d/\nCOPY --from=node:20 /built /usr/share/nginx/html": None,
}


@pytest.mark.parametrize("built", NGINX)
def test_an_nginx_that_is_built_with_its_files_runs_as_its_image(tmp_path: Path, built: str) -> None:
    topology = composed(
        tmp_path,
        "services: {web: {build: .}, proxy: {build: proxy, ports: ['8088:80'], depends_on: [web]}}\n",
        Dockerfile="FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD uvicorn app:app\n",
        app_py=FASTAPI,
        proxy__Dockerfile=f"FROM nginx:1.25-alpine\n{built}\n",
        **{"proxy/page.conf": "server { listen 80; }\n", "proxy/pages/index.html": "", "proxy/start.sh": "nginx\n"},
    )
    found = [service for service in topology if service.name == "proxy"]
    assert [each.volumes for each in found] == ([] if NGINX[built] is None else [tuple(NGINX[built] or ())])
    assert [(each.image, each.tcp and each.tcp.ports) for each in found] == [("nginx:1.25-alpine", (8088,))] * len(
        found
    )
    assert [line for line in topology.remarks if "left out" in line] == [
        "proxy is left out (no Python code found): run it beside mesh, such as by "
        "`docker compose -f compose.yaml up -d proxy`"
    ] * (not found)


def test_a_worker_beside_a_server_listens_on_nothing(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {web: {build: {context: ., dockerfile: web.df}}, worker: {build: {context: ., dockerfile: w.df}}}\n",
        app_py="""\
redis = Redis(host="redis", port=6379)
app = Flask(__name__)
if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5005)
""",
        worker_py="import redis\nredis.Redis(host='redis', port=6379).blpop('queue')\n",
        **{
            "web.df": "FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD python app.py\n",
            "w.df": "FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD python worker.py\n",
        },
    )
    assert [(each.name, each.http and each.http.ports) for each in topology] == [("web", (5005,)), ("worker", None)]


def test_an_image_that_is_only_named_like_a_server_is_built_for_code(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {web: {build: .}}\n",
        Dockerfile="FROM shop/python-redis:3\nWORKDIR /app\nCOPY . .\nCMD python server.py\n",
        server_py="print('server')\n",
    )
    assert [(each.run, each.image) for each in topology] == [("python server.py", None)]


def test_a_database_s_image_with_first_scripts_is_that_database_s(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {db: {build: ./db, environment: {POSTGRES_PASSWORD: x}}}\n",
        **{
            "db/Dockerfile": "FROM postgres:16\nADD create.sql /docker-entrypoint-initdb.d\nCOPY *.csv /data/\n",
            "db/create.sql": "CREATE DATABASE shop;\n",
            "db/one.csv": "1\n",
        },
    )
    (db,) = topology
    assert (db.image, db.tcp, db.env) == ("postgres:16", Tcp((5432,)), {"POSTGRES_PASSWORD": "x"})
    assert db.volumes == ("./db/create.sql:/docker-entrypoint-initdb.d/create.sql", "./db/one.csv:/data/one.csv")


def test_secrets_and_configs_are_the_files_that_they_name(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  web:
    build: ./web
    command: python server.py
    environment: {PASSWORD_FILE: /run/secrets/password, SETTINGS: /etc/shop.ini, OTHER: /run/secrets/other}
    secrets: [password, {source: outside, target: other}]
    configs: [{source: shop, target: /etc/shop.ini}]
  db:
    image: postgres
    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/password}
    secrets: [password]
secrets:
  password: {file: ./secrets/password.txt}
  outside: {environment: OUTSIDE}
configs:
  shop: {file: ./shop.ini}
""",
        web__server_py="print('server')\n",
        **{"secrets/password.txt": "x\n", "shop.ini": "[shop]\n"},
    )
    assert topology["web"].env == {
        "PASSWORD_FILE": "../secrets/password.txt",
        "SETTINGS": "../shop.ini",
        "OTHER": "/run/secrets/other",
    }
    assert topology["db"].env == {"POSTGRES_PASSWORD_FILE": "/run/secrets/password"}
    assert topology["db"].volumes == ("./secrets/password.txt:/run/secrets/password:ro",)


def test_code_beside_a_compose_file_of_databases_alone_runs_too(tmp_path: Path) -> None:
    """Such a file is for the developer who starts the application by hand."""
    (tmp_path / "compose.yaml").write_text("services: {db: {image: postgres, ports: ['8001:5432']}}\n")
    (tmp_path / "app.py").write_text(FASTAPI)
    topology = load(None, tmp_path, lambda: pytest.fail("nothing was found"))
    assert (topology.origin, topology.source) == ("compose.yaml and the code beside it", tmp_path / "compose.yaml")
    db, app = topology.services
    assert (db.name, db.tcp) == ("db", Tcp((8001,), aliases=("db:5432",)))
    assert (app.http, app.depends_on) == (Http((8002,), "app:app"), ("db",))


def test_a_grpc_service_without_published_ports_is_reached_at_its_code_s(tmp_path: Path) -> None:
    """Code says `[::]:8080` (I15), and no HTTP port is made up beside it (I16)."""
    topology = composed(
        tmp_path,
        "services: {users: {build: ., command: python server.py}, other: {build: ., command: python server.py}}\n",
        server_py=SERVER,
    )
    assert topology.services == (
        Service("users", grpc=Grpc(8080), root=tmp_path, run="python server.py"),
        Service("other", grpc=Grpc(8081, aliases=("other:8080",)), root=tmp_path, run="python server.py"),
    )


def test_a_port_that_a_variable_names_is_the_service_s(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {web: {build: ., command: python server.py, environment: {APP_PORT: 9091, DB_PORT: 5432}}}\n",
        server_py="import os, flask\napp = flask.Flask('x')\napp.run(port=os.environ.get('APP_PORT', 9090))\n",
    )
    assert topology["web"].http == Http((9091,))


def test_an_image_stays_one_with_its_arguments(tmp_path: Path) -> None:
    """The arguments of an image are no command of their own (I7); its port is the one that it has in the file."""
    topology = composed(
        tmp_path,
        """\
services:
  web: {build: ., command: uvicorn app:app}
  gateway:
    image: envoyproxy/envoy
    command: --config=/etc/envoy.yaml
    ports: ["8080:10000", "9901:9901"]
    volumes: ["./envoy:/etc/envoy:ro", "logs:/logs"]
  cache_db: {image: "redis:7"}
  other: {image: "redis:7"}
""",
        app_py=FASTAPI,
    )
    assert topology.services[1:] == (
        Service(
            "gateway",
            tcp=Tcp((8080, 9901), aliases=("gateway:10000", "gateway:9901")),
            root=tmp_path,
            image="envoyproxy/envoy",
            command="--config=/etc/envoy.yaml",
            volumes=("./envoy:/etc/envoy:ro", "logs:/logs"),
        ),
        Service("cache-db", tcp=Tcp((6379,), aliases=("cache_db:6379",)), root=tmp_path, image="redis:7"),
        Service("other", tcp=Tcp((6380,), aliases=("other:6379",)), root=tmp_path, image="redis:7"),
    )


@pytest.mark.parametrize(
    ("image", "ports", "expected"),
    [
        ("rabbitmq:3-management", "['15672:15672']", Tcp((5672, 15672), aliases=("mq:5672", "mq:15672"))),
        ("rabbitmq", "['5673:5672', '15672:15672']", Tcp((5673, 15672), aliases=("mq:5672", "mq:15672"))),
        ("redis", "[]", Tcp((6379,))),
        ("unknown", "['15672:15672']", Tcp((15672,))),
    ],
)
def test_a_well_known_image_is_reached_at_its_port_whatever_it_publishes(
    tmp_path: Path, image: str, ports: str, expected: Tcp
) -> None:
    services = f"services: {{web: {{build: ., command: uvicorn app:app}}, mq: {{image: '{image}', ports: {ports}}}}}\n"
    assert composed(tmp_path, services, app_py=FASTAPI)["mq"].tcp == expected


def test_an_image_that_another_service_builds_is_its_code(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  worker: {build: ., image: shop, command: python work.py}
  web: {image: shop, command: uvicorn app:app}
""",
        app_py=FASTAPI,
        work_py="print('at work')\n",
    )
    assert [(each.run, each.image) for each in topology] == [("python work.py", None), ("uvicorn app:app", None)]


def test_what_compose_watches_reloads_the_service(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  web:
    build: web
    command: uvicorn app:app
    develop: {watch: [{action: sync, path: ./web, target: /app}, {action: sync, path: ./web/pages, target: /app/pages}]}
""",
        web__app_py=FASTAPI,
        **{"web/templates/page.html": "<p>", "web/pages/first.md": "#"},
    )
    assert topology["web"].watch == ("templates", "pages")


def test_a_command_listens_where_mesh_tells_it(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  ui:
    build: .
    command: celery flower --port=5555
    ports: ["5556:5555"]
    environment: {PORT: "5555"}
    healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:5555/healthcheck"]}
  worker: {build: ., command: celery worker}
""",
        Dockerfile="FROM python\nCOPY . .\nEXPOSE 8000\n",
    )
    ui = topology["ui"]
    assert (ui.command, ui.env, ui.ready) == ("celery flower --port=$PORT", {}, "/healthcheck")
    assert ui.http == Http((5556,), aliases=("ui:5555",))
    assert topology["worker"].listeners == ()


def test_a_program_that_the_image_installs_for_everyone_is_run_by_npx(tmp_path: Path) -> None:
    compose = """
        services:
          web: {build: web, command: nodemon server.js, ports: ["8000:80"]}
          other: {build: other, command: nodemonitor x.js, ports: ["8001:80"]}
    """
    dockerfile = "FROM node\nWORKDIR /app\nRUN npm install --quiet -g nodemon@3 pm2\nCOPY . .\n"
    files = {"web__Dockerfile": dockerfile, "other__Dockerfile": dockerfile}
    topology = composed(tmp_path, compose, web__server_js="", other__server_js="", **files)
    assert [service.command for service in topology] == ["npx --yes nodemon server.js", "nodemonitor x.js"]


def test_a_port_that_needs_privileges_is_another_and_told(tmp_path: Path) -> None:
    topology = composed(
        tmp_path, "services: {web: {build: ., command: uvicorn app:app --port 80, ports: ['80:80']}}\n", app_py=FASTAPI
    )
    assert topology["web"].http == Http((8080,), aliases=("web:80",))
    assert "# port 80, which Compose publishes, needs privileges: mesh chose 8080\n" in draft(tmp_path).text


def test_every_name_of_a_service_leads_to_it(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  web:
    build: .
    command: uvicorn app:app
    expose: [8000]
    hostname: front
    networks: {default: {aliases: [site]}}
  other: {build: ., command: python -m other, links: ["web:linked"]}
""",
        app_py=FASTAPI,
        other_py="print('other')\n",
    )
    assert topology["web"].http == Http((8000,), aliases=("front:8000", "site:8000", "linked:8000"))


def test_services_of_a_profile_run_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compose = "services: {web: {build: ., command: uvicorn app:app}, seed: {build: ., command: ls, profiles: [t]}}\n"
    monkeypatch.delenv("COMPOSE_PROFILES", raising=False)
    files = {"app_py": FASTAPI}
    assert composed(tmp_path, compose, **files)["seed"].profiles == ("t",)
    monkeypatch.setenv("COMPOSE_PROFILES", "a,t")
    assert composed(tmp_path, compose, **files)["seed"].profiles == ()


@pytest.mark.parametrize(
    ("declared", "seconds"), [("90s", 90.0), ("1m30s", 90.0), ("1h", 3600.0), ("250ms", 0.25), ("0s", 0.0), ("x", None)]
)
def test_the_time_to_stop_is_the_grace(tmp_path: Path, declared: str, seconds: float | None) -> None:
    compose = f"services: {{web: {{build: ., command: uvicorn app:app, stop_grace_period: {declared}}}}}\n"
    assert composed(tmp_path, compose, app_py=FASTAPI)["web"].grace == seconds


def test_protos_that_the_image_compiles_are_the_service_s(tmp_path: Path) -> None:
    """`RUN protoc` is taken into account (I9), and protos of other languages are not compiled (I13)."""
    topology = composed(
        tmp_path,
        "services: {users: {build: {context: ., dockerfile: users/Dockerfile}}}\n",
        users__Dockerfile="""\
FROM python
WORKDIR /app
COPY protos/ /protos
COPY users/ .
RUN python -m grpc_tools.protoc -I /protos --python_out=. --grpc_python_out=. /protos/users.proto
CMD ["python", "server.py"]
""",
        users__server_py=SERVER,
        **{"protos/users.proto": 'syntax = "proto3";\n', "go/other.proto": 'syntax = "proto3";\n'},
    )
    assert topology["users"].protos == (tmp_path / "protos",)


def test_an_image_that_only_builds_for_others_is_left_out(tmp_path: Path) -> None:
    services = "services: {builder: {build: {context: ., dockerfile: Builder}}, web: {build: ., ports: ['80']}}"
    topology = composed(tmp_path, services, Builder="FROM python:3.12\nCOPY . .\n", app_py=FASTAPI)
    assert [each.name for each in topology] == ["web"]
    assert topology.remarks == ("builder is left out: neither its Dockerfile nor compose.yaml has a command",)


def test_a_variable_without_a_value_is_told(tmp_path: Path) -> None:
    services = "services: {cache: {image: redis, command: 'redis-server --requirepass ${NO_SUCH}', ports: [6379]}}"
    told = "compose.yaml: services.cache.command names the variable NO_SUCH, which has no value; it is left empty"
    assert composed(tmp_path, services).remarks == (told,)


def test_a_missing_env_file_is_told_once_with_its_example(tmp_path: Path) -> None:
    services = "services: {cache: {image: 'redis:${A}', command: 'redis-server --requirepass ${B}', ports: [6379]}}"
    (tmp_path / ".env.tpl").write_text("A=7\n")
    told = ".env is missing, without which these have no value: A, B; copy it from .env.tpl"
    assert composed(tmp_path, services).remarks == (told,)

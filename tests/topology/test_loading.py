"""Finding, reading and checking a declaration."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mesh.errors import MeshError, UsageError
from mesh.topology.declaration.mistakes import TopologyError
from mesh.topology.loading import load, read_file
from mesh.topology.model import Grpc, Http, Service, Topology

SHOP = """
[mesh]
name = "shop"
protos = ["proto"]                    # folders; compiled at start when changed, importable by every service

[services.gateway]
root = "services/gateway"             # this service's private import root and working folder
http = { ports = [5000, 8000], app = "app:app", contract = "user-service", prefix = "/api/grpc" }
depends_on = ["user-service"]

[services.user-service]
root = "services/user-service"
http = { port = 5001, app = "app:create_app()" }      # ASGI or WSGI, object or factory; found out, not declared
grpc = { port = 50051, servicers = ["grpc_server:UserServicer"], aliases = ["users:50051"] }
env  = { DATABASE_URL = "sqlite:///users.db", DEBUG = true, WORKERS = 4 }
protos = ["services/user-service/proto"]   # for this service alone, beside or instead of [mesh] protos

[services.web]
command = "npm run dev"               # anything else: a child process, same logs, readiness, stop
http = 3000
ready = "/health"                     # an HTTP path, "port" (default), or "done"
isolation = "process"
"""


def store() -> Topology:
    return Topology("store", Service("gateway", Http((5000,), app="app:app")), folder=Path("/"))


def declare(folder: Path, text: str, name: str = "mesh.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def mistakes_of(folder: Path, text: str, name: str = "mesh.toml") -> list[str]:
    declare(folder, text, name)
    with pytest.raises(TopologyError) as refused:
        load(None, folder, store)
    assert str(refused.value) == "\n".join(str(mistake) for mistake in refused.value.mistakes)
    return [str(mistake) for mistake in refused.value.mistakes]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for folder in ("proto", "services/gateway", "services/user-service/proto"):
        (tmp_path / folder).mkdir(parents=True)
    declare(tmp_path, SHOP)
    return tmp_path


def test_every_key_of_the_guide_is_read(shop: Path) -> None:
    topology = load(None, shop, store)
    assert (topology.name, topology.folder, topology.source) == ("shop", shop, shop / "mesh.toml")
    assert topology.protos == (shop / "proto",)
    assert topology.services == (
        Service(
            "gateway",
            Http((5000, 8000), app="app:app", contracts=("user-service",), prefix="/api/grpc"),
            depends_on=("user-service",),
            root=shop / "services/gateway",
        ),
        Service(
            "user-service",
            Http((5001,), app="app:create_app()"),
            Grpc(50051, ("grpc_server:UserServicer",), aliases=("users:50051",)),
            root=shop / "services/user-service",
            env={"DATABASE_URL": "sqlite:///users.db", "DEBUG": "true", "WORKERS": "4"},
            protos=(shop / "services/user-service/proto",),
        ),
        Service("web", Http((3000,)), root=shop, command="npm run dev", ready="/health", isolation="process"),
    )


def test_what_a_grpc_server_may_take_is_read(tmp_path: Path) -> None:
    text = """
    [services.a.grpc]
    port = 0
    servicers = "a:A"
    workers = 4
    queue = 0
    queue_seconds = 0.5
    options = { "grpc.max_receive_message_length" = 16777216, "grpc.http2.bdp_probe" = true }
    """
    declare(tmp_path, text)
    assert load(None, tmp_path, store)["a"].grpc == Grpc(
        0,
        ("a:A",),
        workers=4,
        queue=0,
        queue_seconds=0.5,
        options={"grpc.max_receive_message_length": 16_777_216, "grpc.http2.bdp_probe": 1},
    )


@pytest.mark.parametrize(("line", "problem"), [
    ("workers = 0", "workers: expected a whole number from 1, not 0"),
    ("queue = -1", "queue: expected a whole number from 0, not -1"),
    ('queue_seconds = "1s"', 'queue_seconds: expected a number of seconds from 0, not "1s"'),
    (
        'options = { "max_message" = 1 }',
        'options: expected a table of whole numbers and texts by names such as "grpc.keepalive_time_ms", '
        'not {"max_message": 1}',
    ),
])  # fmt: skip
def test_what_no_grpc_server_takes_is_a_mistake(tmp_path: Path, line: str, problem: str) -> None:
    declare(tmp_path, f'[services.a.grpc]\nport = 0\nservicers = "a:A"\n{line}\n')
    with pytest.raises(UsageError) as caught:
        load(None, tmp_path, store)
    assert str(caught.value).endswith(problem)


def test_the_source_read_again_is_the_same_topology(shop: Path) -> None:
    topology = load(None, shop, store)
    assert topology.source
    assert read_file(topology.source, shop) == topology


def test_a_module_read_again_is_as_its_file_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from mesh import Http, Service, Topology\nfound = Topology('{}', Service('a', http=Http((0,), app='a:a')))"
    file = declare(tmp_path, text.format("one"), "declared_here.py")
    monkeypatch.delitem(sys.modules, "declared_here", raising=False)
    first = load("declared_here:found", tmp_path, store)
    assert (first.name, first.source) == ("one", file)
    file.write_text(text.format("two"))  # in the same second, and of the same size
    assert load("declared_here:found", tmp_path, store).name == "one"
    assert load("declared_here:found", tmp_path, store, again=True).name == "two"
    file.write_text("found = (")
    with pytest.raises(MeshError, match=r"declared_here\.py:1: SyntaxError"):
        load("declared_here:found", tmp_path, store, again=True)
    assert load("declared_here:found", tmp_path, store).name == "two"


def test_a_parent_declares_for_its_sub_folders(shop: Path) -> None:
    assert load(None, shop / "services" / "gateway", store).folder == shop


def test_the_nearest_declaration_wins_and_mesh_toml_before_pyproject(tmp_path: Path) -> None:
    near = tmp_path / "near"
    declare(tmp_path, '[services.far]\ncommand = "x"')
    declare(near, '[tool.mesh.services.near]\ncommand = "x"', "pyproject.toml")
    assert [service.name for service in load(None, near, store)] == ["near"]
    declare(near, '[services.nearest]\ncommand = "x"')
    assert [service.name for service in load(None, near, store)] == ["nearest"]


def test_a_pyproject_without_mesh_declares_nothing(tmp_path: Path) -> None:
    declare(tmp_path, '[services.far]\ncommand = "x"')
    declare(tmp_path / "near", '[project]\ndependencies = ["mesh-runner"]', "pyproject.toml")
    assert [service.name for service in load(None, tmp_path / "near", store)] == ["far"]


def test_where_nothing_is_declared_the_default_runs_in_the_current_folder(tmp_path: Path) -> None:
    topology = load(None, tmp_path, store)
    assert (topology.name, topology.folder, topology.source) == ("store", tmp_path, None)


def test_the_default_keeps_all_that_it_has(tmp_path: Path) -> None:
    full = Topology("store", source=Path("/s"), protos=[Path("/p")], descriptors=[Path("/d")], folder=tmp_path)
    assert load(None, tmp_path, lambda: full) == full


def test_a_file_can_be_named(shop: Path) -> None:
    assert load(f"{shop.name}/mesh.toml", shop.parent, store).source == shop / "mesh.toml"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_bytes(b'\xef\xbb\xbf[services.a]\r\ncommand = "x"\r\n')
    assert load(None, tmp_path, store).listener_names() == []


@pytest.mark.parametrize("text", ["", "# nothing yet\n", '[mesh]\nname = "shop"\n', "[services]\n"])
def test_an_empty_file_says_where_was_looked(tmp_path: Path, text: str) -> None:
    file = declare(tmp_path, text)
    below = tmp_path / "below"
    with pytest.raises(UsageError) as refused:
        load(None, below, store)
    assert str(refused.value) == (
        f"{file}: no service is declared; write a [services.NAME] table "
        f"(looked at {below}/mesh.toml, {below}/pyproject.toml, {file})"
    )
    assert refused.value.exit_status == 2


def test_a_named_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load("shop/mesh.toml", tmp_path, store)
    assert str(refused.value) == f"no such file: shop/mesh.toml; looked for {tmp_path}/shop/mesh.toml"


def test_a_folder_in_the_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").mkdir()
    with pytest.raises(UsageError, match=r"^mesh\.toml cannot be read: Is a directory$"):
        load("mesh.toml", tmp_path, store)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[mesh]\nname = shop\n", "mesh.toml:2:8: Invalid value"),
        ('[mesh]\nname = "shop', "mesh.toml:2:1: Unterminated string"),
        ("[mesh]\nname = 1\nname = 2\n", "mesh.toml:3:9: Cannot overwrite a value"),
    ],
)
def test_a_syntax_error_has_file_line_and_column(tmp_path: Path, text: str, told: str) -> None:
    declare(tmp_path, text)
    with pytest.raises(UsageError, match=f"^{re.escape(told)}$"):
        load(None, tmp_path, store)


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, "9" * 5000])
def test_a_value_beyond_the_parser_is_refused(tmp_path: Path, value: str) -> None:
    declare(tmp_path, f"a = {value}")
    with pytest.raises(UsageError, match=r"^mesh\.toml: (maximum recursion depth|Exceeds the limit)"):
        load(None, tmp_path, store)


def test_a_file_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_bytes(b'[mesh]\nname = "caf\xe9"\n')
    with pytest.raises(UsageError, match=r"^mesh\.toml:2: not UTF-8: .* 0xe9$"):
        load(None, tmp_path, store)


FULL_OF_MISTAKES = """\
[mesh]
nam = "shop"

[services.gateway]
root = "gone"
http = { ports = [5000, 5001], app = "app.app", prefix = "/api/" }
depends_on = ["usr"]

[services.user-service]
http = { port = 5001, app = "app:app" }
isolation = "processes"
comand = "x"

[services.user-service.grpc]
port = "abc"
servicers = ["grpc_server:UserServicer"]
aliases = ["users"]

[services.Web_]
command = "npm run dev"
http = { port = 3000, app = "app:app" }
ready = "health"
env = { A = ["1"] }

[service.late]
command = "x"
"""


def test_all_mistakes_are_told_at_once_with_line_key_and_the_way_out(tmp_path: Path) -> None:
    assert mistakes_of(tmp_path, FULL_OF_MISTAKES) == [
        "mesh.toml:2: mesh.nam: unknown key; known keys: name, protos, secrets, grace; did you mean 'name'?",
        f"mesh.toml:5: services.gateway.root: no such folder: {tmp_path}/gone",
        'mesh.toml:6: services.gateway.http.app: expected "module:attribute", "module:function()" or '
        '"path/to/file.py:attribute", not "app.app"',
        'mesh.toml:6: services.gateway.http.prefix: expected a path such as "/api/grpc", with a slash before and none '
        'after it, not "/api/"',
        "mesh.toml:7: services.gateway.depends_on: no service is named 'usr'; known services: gateway, user-service, "
        "Web_; did you mean 'user-service'?",
        "mesh.toml:10: services.user-service.http.port: 5001 is already the port of gateway.http; give "
        "user-service.http another, or 0 for any free one",
        'mesh.toml:11: services.user-service.isolation: expected "thread" or "process", not "processes"; '
        "did you mean 'process'?",
        "mesh.toml:12: services.user-service.comand: unknown key; known keys: root, http, grpc, tcp, "
        "depends_on, env, env_file, protos, run, command, image, volumes, ready, isolation, watch, python, "
        "requirements, private, shared, profiles, grace, keep, fresh; "
        "did you mean 'command'?",
        "mesh.toml:15: services.user-service.grpc.port: expected a whole number from 0 to 65535 (0 for any free port), "
        'not "abc"',
        'mesh.toml:17: services.user-service.grpc.aliases: expected a list, each item "host:port", not ["users"]',
        "mesh.toml:21: services.Web_.http.app: not allowed with command, which serves its own app; remove one of them",
        'mesh.toml:22: services.Web_.ready: expected "port", "done", a path such as "/health", or "log: listening on", '
        'not "health"',
        'mesh.toml:23: services.Web_.env: expected a table of texts, numbers, true or false, not {"A": ["1"]}',
        "mesh.toml:25: service: unknown key; known keys: mesh, services, externals; did you mean 'services'?",
    ]


@pytest.mark.parametrize("port", ["-1", "65536", '"abc"', "true", "1.5"])
def test_a_port_that_is_none_is_told_with_what_it_may_be(tmp_path: Path, port: str) -> None:
    told = mistakes_of(tmp_path, f'[services.a]\nhttp = {{ port = {port}, app = "app:app" }}')
    expected = f"expected a whole number from 0 to 65535 (0 for any free port), not {port}"
    assert told == [f"mesh.toml:2: services.a.http.port: {expected}"]


def test_port_zero_is_any_free_one_and_not_shared(tmp_path: Path) -> None:
    declare(tmp_path, '[services.a]\nhttp = {port = 0, app = "a:a"}\n[services.b]\nhttp = {port = 0, app = "b:b"}')
    assert load(None, tmp_path, store)["b"].http == Http((0,), app="b:b")


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ("http = {app = 'a:a'}", "2: services.a.http: expected port, such as port = 5001 (0 for any free port)"),
        (
            "http = {port = 1, ports = [2], app = 'a:a'}",
            "2: services.a.http.ports: expected either port or ports, not both",
        ),
        (
            "http = 'x'",
            "2: services.a.http: expected a table of port, ports, app, contract, prefix, unknown_fields, root_path, "
            "tls, limits, aliases, hosts, origins, "
            'not "x"',
        ),
        ("root = '.'", "1: services.a: nothing to run: expected http, grpc, run, command or image"),
        ("grpc = 50051", '2: services.a.grpc: expected servicers, such as ["module:UserServicer"]'),
        (
            "http = 5001",
            '2: services.a.http: expected app, such as "module:app", or servicers under grpc to serve over HTTP',
        ),
        (
            "http = {port = 1, app = 'a:a', prefix = '/api'}",
            "2: services.a.http.prefix: expected contract beside it: the services whose contracts to mount",
        ),
        (
            "http = {port = 1, contract = ['b']}",
            "2: services.a.http.contract: no service is named 'b'; known services: a",
        ),
        (
            "http = {port = 1, app = 'a:a', contract = 'a'}",
            "2: services.a.http.contract: a has no grpc listener, and so no contract to mount",
        ),
        (
            "command = 'x'\ngrpc = {port = 1, servicers = ['a:A']}",
            "3: services.a.grpc.servicers: not allowed with command, which brings its own; remove one of them",
        ),
        (
            "command = 'x'\nhttp = {port = 1, hosts = ['shop.test']}",
            "3: services.a.http.hosts: not allowed with command, which decides that itself; remove it",
        ),
        (
            "command = 'x'\nhttp = {port = 1, origins = ['*']}",
            "3: services.a.http.origins: not allowed with command, which decides that itself; remove it",
        ),
        (
            "run = 'server.py'\nhttp = {port = 1, app = 'a:a'}",
            "3: services.a.http.app: not allowed with run, whose program brings its own app; remove one of them",
        ),
        (
            "run = 'server.py'\ngrpc = {port = 1, servicers = ['a:A']}",
            "3: services.a.grpc.servicers: not allowed with run, whose program adds its own; remove one of them",
        ),
        ("run = 'server.py'\ncommand = 'x'", "3: services.a.command: not allowed with run; remove one of them"),
        (
            "run = 'server.py'\nready = 'done'",
            '3: services.a.ready: "done" is for a command that ends; a program in run may end as well; remove it',
        ),
        (
            "run = 'server.py'\nready = '/health'",
            "3: services.a.ready: a path is asked for over http, which is missing; add it, or remove ready",
        ),
        (
            "http = {port = 1, app = 'a:a'}\ntcp = 5",
            "3: services.a.tcp: is for a command or an image; Python code has http and grpc",
        ),
        ("command = 'x'\nvolumes = ['a:/b']", "3: services.a.volumes: is for an image; remove it"),
        ("image = 'x'\nrun = 'server.py'", "2: services.a.image: not allowed with run; remove one of them"),
        (
            "run = 'server.py'\ngrpc = {port = 1, compression = 'gzip'}",
            "3: services.a.grpc.compression: not allowed with run, whose program gives its server its own; remove it",
        ),
        (
            "run = 'server.py'\nhttp = {ports = [1, 2]}",
            "3: services.a.http.ports: expected one port: the program in run opens one HTTP server",
        ),
        (
            "run = 'npm run dev'",
            "2: services.a.run: 'npm run dev' is no Python program that mesh can run in a thread; expected "
            '"server.py", "-m app.server", "uvicorn app:app" or "flask run", with arguments if need be; for any other '
            "program use command, which runs it in a process of its own",
        ),
        (
            "run = 'cd app && python server.py'",
            "2: services.a.run: 'cd app && python server.py' is for a shell; expected "
            '"server.py", "-m app.server", "uvicorn app:app" or "flask run", with arguments if need be; for any other '
            "program use command, which runs it in a process of its own",
        ),
        ("command = 'x'\ndepends_on = ['a']", "3: services.a.depends_on: goes round in a circle: a -> a"),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, service: str, told: str) -> None:
    assert mistakes_of(tmp_path, f"[services.a]\n{service}") == [f"mesh.toml:{told}"]


@pytest.mark.parametrize("name", ["Users", "user_service", "users-", "-users", "user--x", "2users", "users.grpc"])
def test_a_name_that_is_no_host_name_is_refused(tmp_path: Path, name: str) -> None:
    told = mistakes_of(tmp_path, f'[services."{name}"]\ncommand = "x"')
    sentence = "a service's name is lower-case letters, digits and single dashes, and starts with a letter"
    assert [one.split(": ", 1)[1] for one in told] == [f"services.{name}: {sentence}"]


def test_an_alias_leads_to_one_listener(tmp_path: Path) -> None:
    text = """\
[services.a]
http = { port = 1, app = "a:a", aliases = ["users:80"] }
[services.b]
http = { port = 2, app = "b:b", aliases = ["users:80"] }
"""
    assert mistakes_of(tmp_path, text) == ["mesh.toml:4: services.b.http.aliases: 'users:80' leads to a.http already"]


def test_a_module_is_kept_or_fresh_and_a_command_has_neither(tmp_path: Path) -> None:
    text = """
[services.a]
http = { port = 1, app = "a:a" }
keep = ["model", "config"]
fresh = ["config"]
[services.b]
command = "x"
http = 2
fresh = ["model"]
"""
    assert mistakes_of(tmp_path, text) == [
        "mesh.toml:4: services.a.keep: 'config' is in fresh as well; remove it from one of them",
        "mesh.toml:9: services.b.fresh: not allowed with run or command, which a reload executes whole; remove it",
    ]


@pytest.mark.parametrize("serves", ["command = 'x'\nhttp = 3000", "http = { port = 0, app = 'a:a' }"])
def test_what_listens_is_never_done(tmp_path: Path, serves: str) -> None:
    (mistake,) = mistakes_of(tmp_path, f'[services.a]\nready = "done"\n{serves}\n')
    assert mistake == (
        'mesh.toml:2: services.a.ready: "done" is for a command that ends, and has no ports; remove it, or the ports'
    )


def test_a_line_to_wait_for_is_a_regular_expression(tmp_path: Path) -> None:
    assert mistakes_of(tmp_path, '[services.a]\nready = "log: ["\ncommand = "x"\n') == [
        "mesh.toml:2: services.a.ready: '[' is no regular expression: unterminated character set at position 0"
    ]


def test_a_mistake_in_pyproject_is_told_in_its_own_words(tmp_path: Path) -> None:
    text = '[tool.mesh]\nprotos = ["gone"]\nservces = 1\n[tool.mesh.services.a]\nhttp = { port = 5001 }\n'
    assert mistakes_of(tmp_path, text, "pyproject.toml") == [
        f"pyproject.toml:2: tool.mesh.protos: no such folder: {tmp_path}/gone",
        "pyproject.toml:3: tool.mesh.servces: unknown key; known keys: name, protos, secrets, grace, services, "
        "externals; did you mean 'services'?",
        'pyproject.toml:5: tool.mesh.services.a.http: expected app, such as "module:app", or servicers under grpc to '
        "serve over HTTP",
    ]


MODULE = """
from mesh.topology.model import Grpc, Http, Service, Topology

shop = Topology("shop", Service("web", Http((5000,), app="app:app")))
broken = Topology("shop", Service("web", Http((5000,)), depends_on=("usr",)))
grpc = Grpc(1, ("a:A",), workers=0, queue=-1, queue_seconds=float("nan"))
idle = Topology("shop", Service("users", grpc=grpc))
number = 5

def make():
    return shop

def fails():
    raise KeyError("DATABASE_URL")

def leaves():
    raise SystemExit(3)
"""


@pytest.mark.parametrize("attribute", ["shop", "make"])
def test_a_topology_comes_from_a_module(tmp_path: Path, attribute: str) -> None:
    declare(tmp_path, MODULE, "mesh_shop_good.py")
    assert load(f"mesh_shop_good:{attribute}", tmp_path, store).listener_names() == ["web.http"]
    assert str(tmp_path) not in sys.path


def test_a_topology_comes_from_a_file_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "mesh_shop_file.py").write_text(MODULE)
    topology = load("deploy/mesh_shop_file.py:shop", tmp_path, store)
    assert [service.name for service in topology] == ["web"]
    assert topology.source == tmp_path / "deploy" / "mesh_shop_file.py"
    with pytest.raises(UsageError, match=r"no such file: .*/deploy/gone\.py"):
        load("deploy/gone.py:shop", tmp_path, store)


def test_the_folders_of_a_module_are_relative_to_the_folder(tmp_path: Path) -> None:
    text = """
from pathlib import Path
from mesh.topology.model import Http, Service, Topology
web, api = Service("web", Http((1,), app="a:a")), Service("api", Http((2,), app="a:a"), root="api", protos=("api",))
shop = Topology("shop", web, api, protos=[Path("api")])
"""
    declare(tmp_path, text, "mesh_shop_rooted.py")
    (tmp_path / "api").mkdir()
    topology = load("mesh_shop_rooted:shop", tmp_path, store)
    assert [service.root for service in topology] == [tmp_path, tmp_path / "api"]
    assert topology["api"].protos == topology.protos == (tmp_path / "api",)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("mesh_shop_used:shp", "mesh_shop_used:shp: mesh_shop_used has no 'shp'; did you mean 'shop'?"),
        (
            "mesh_shop_used:number",
            "mesh_shop_used:number is of type int; expected a mesh.Topology, or a function returning one",
        ),
        ("mesh_shop_gone:shop", "no module named 'mesh_shop_gone'; looked in {folder} and in sys.path"),
        ("shop", "'shop' is neither a file such as path/to/mesh.toml nor a module:attribute, nor store"),
        (
            "mesh_shop_used:broken",
            'services.web.http: expected app, such as "module:app", or servicers under grpc to serve over HTTP\n'
            "services.web.depends_on: no service is named 'usr'; known services: web",
        ),
        (
            "mesh_shop_used:idle",
            "services.users.grpc.workers: expected at least 1, not 0\n"
            "services.users.grpc.queue: expected at least 0, not -1\n"
            "services.users.grpc.queue_seconds: expected at least 0, not nan",
        ),
    ],
)
def test_a_wrong_target_is_the_users_mistake(tmp_path: Path, target: str, told: str) -> None:
    declare(tmp_path, MODULE, "mesh_shop_used.py")
    with pytest.raises(UsageError) as refused:
        load(target, tmp_path, store)
    assert str(refused.value) == told.format(folder=tmp_path)


@pytest.mark.parametrize(
    ("attribute", "line", "told", "cause"),
    [("fails", 14, "KeyError: 'DATABASE_URL'", KeyError), ("leaves", 17, "SystemExit: 3", SystemExit)],
)
def test_a_module_that_fails_is_told_from_a_wrong_target(
    tmp_path: Path, attribute: str, line: int, told: str, cause: type[BaseException]
) -> None:
    file = declare(tmp_path, MODULE, "mesh_shop_failing.py")
    with pytest.raises(MeshError) as failed:
        load(f"mesh_shop_failing:{attribute}", tmp_path, store)
    sys.modules.pop("mesh_shop_failing")
    assert str(failed.value) == f"mesh_shop_failing:{attribute}: {file}:{line}: {told}"
    assert isinstance(failed.value.__cause__, cause)
    assert failed.value.exit_status == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nimport mesh_absent\n", "2: ModuleNotFoundError: No module named 'mesh_absent'"),
        ("x = (\n", "1: SyntaxError: '(' was never closed"),
    ],
)
def test_an_import_error_of_theirs_names_their_line(tmp_path: Path, text: str, told: str) -> None:
    file = declare(tmp_path, text, "mesh_shop_importing.py")
    with pytest.raises(MeshError) as failed:
        load("mesh_shop_importing:shop", tmp_path, store)
    assert str(failed.value) == f"mesh_shop_importing:shop: {file}:{told}"


def test_a_compose_file_above_in_the_repository_says_what_runs(tmp_path: Path) -> None:
    (tmp_path / "shop" / "web").mkdir(parents=True)
    (tmp_path / "compose.yaml").write_text("services: {outer: {build: ., command: python gone.py}}\n")
    compose = "services: {web: {build: web, command: uvicorn app:app}}\n"
    (tmp_path / "shop" / "compose.yaml").write_text(compose)
    (tmp_path / "shop" / "web" / "app.py").write_text(
        "from starlette.applications import Starlette\napp = Starlette()\n"
    )
    default = Topology("default")
    inner = load(None, tmp_path / "shop" / "web", lambda: default)
    assert (inner.origin, inner.folder) == ("what this folder holds", tmp_path / "shop" / "web")
    (tmp_path / "shop" / ".git").mkdir()
    above = load(None, tmp_path / "shop" / "web", lambda: default)
    assert (above.origin, above.folder, above["web"].run) == (
        "compose.yaml",
        tmp_path / "shop",
        "uvicorn app:app",
    )

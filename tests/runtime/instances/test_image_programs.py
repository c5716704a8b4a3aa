"""Programs that run in the place of an image: what each is told, and the real one where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from mesh.hosting.images import containers, rabbitmq
from mesh.hosting.images.image import WantedImage
from mesh.hosting.images.installed import installed
from mesh.runtime.instances.image import ImageInstance
from mesh.runtime.options import Options
from tests.support.supervised import PATIENCE, supervised

#: Writes down what it is told, and does as much as the shell waits for.
_BEGIN = """\
#!{python}
import json, os, signal, socket, sys, time
from pathlib import Path
record, words = Path({record!r}), sys.argv[1:]
options = dict(word.lstrip("-").partition("=")[::2] for word in words)

def note(*what):
    with record.open("a") as file:
        file.write(json.dumps(what) + "\\n")

def serve(port):
    print("words", json.dumps(words), flush=True)
    server = socket.create_server(("127.0.0.1", int(port)))
    kept = []
    while True:
        kept.append(server.accept())

"""
MYSQLD = """\
data = Path(options["datadir"])
if "initialize-insecure" in options:
    (data / "mysql").mkdir(parents=True)
elif "skip-networking" in options:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Path(options["socket"]).touch()
    while True:
        signal.pause()
else:
    serve(options["port"])
"""
CLIENT = """\
if "execute" in options:
    sys.exit(not Path(options["socket"]).exists())
database = [word for word in words if not word.startswith("-")]
note(os.environ.get("MYSQL_PWD"), database, sys.stdin.read())
"""
RABBITMQ = """\
folder = Path(os.environ["HOME"])
terms = Path(os.environ["RABBITMQ_ADVANCED_CONFIG_FILE"]).read_text()
note(terms, Path(os.environ["RABBITMQ_ENABLED_PLUGINS_FILE"]).read_text(), os.environ["ERL_EPMD_ADDRESS"])
import threading
pages = terms.split("{port, ")[1].split("}")[0]
threading.Thread(target=serve, args=(pages,), daemon=True).start()
serve(terms.split('{"127.0.0.1", ')[1].split("}")[0])
"""
SERVING = 'serve(words[words.index({option!r}) + 1].rpartition(":")[2])\n'

Made = Callable[..., Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Makes programs, by name, that are found before all others; returns the file of what they write down."""
    monkeypatch.setattr(containers, "engine", lambda: None)
    record, folder = tmp_path / "record", tmp_path / "bin"
    folder.mkdir()
    record.touch()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def make(**texts: str) -> Path:
        for name, text in texts.items():
            file = folder / name.replace("_", "-")
            file.write_text(_BEGIN.format(python=sys.executable, record=str(record)) + text)
            file.chmod(0o755)
        return record

    return make


def noted(record: Path) -> list[list[object]]:
    return [json.loads(line) for line in record.read_text().splitlines()]


DATABASE = """\
    [services.db]
    image = "mysql:8"
    command = "--default-authentication-plugin=mysql_native_password --loose-no-such=1"
    tcp = { port = 13306, aliases = ["db:3306"] }
    env = { MYSQL_ROOT_PASSWORD = "ro'ot\\\\", MYSQL_USER = "shop", MARIADB_PASSWORD_FILE = "/run/secrets/p" }
    volumes = ["./first:/docker-entrypoint-initdb.d", "./password:/run/secrets/p:ro"]
    """


def test_an_installed_mysql_makes_the_users_and_the_database_of_its_image_once(tmp_path: Path, programs: Made) -> None:
    record = programs(mysqld=MYSQLD, mariadb=CLIENT)
    files = {
        "mesh.toml": DATABASE.replace("MYSQL_USER", 'MYSQL_DATABASE = "or`ders", MYSQL_USER'),
        "password": "it's",
        "first/1.sql": "CREATE TABLE price (cents int);\n",
        "first/2.sh": 'echo "$MYSQL_DATABASE from $HOME" | mariadb scripted\n',
    }
    data = tmp_path / "kept"
    for _ in range(2):
        with supervised(tmp_path, files, Options(data=data, start_within=PATIENCE)) as project:
            port = project.supervisor.directory.address("db", "tcp").port
            words = json.loads(project.line("db", "words ").text.removeprefix("words "))
            assert project.supervisor.snapshot["db"].state == "ready"
    assert {f"--datadir={data / 'db'}", f"--port={port}", "--bind-address=127.0.0.1"} <= set(words)
    assert words[-2:] == ["--loose-default-authentication-plugin=mysql_native_password", "--loose-no-such=1"]
    made, table, scripted = noted(record)
    assert made[:2] == [None, []]
    assert str(made[2]).splitlines()[:5] == [
        "CREATE DATABASE IF NOT EXISTS `or``ders`;",
        r"CREATE USER IF NOT EXISTS 'shop'@'%'; ALTER USER 'shop'@'%' IDENTIFIED BY 'it\'s';",
        "GRANT ALL ON `or``ders`.* TO 'shop'@'%';",
        r"CREATE USER IF NOT EXISTS 'root'@'%'; ALTER USER 'root'@'%' IDENTIFIED BY 'ro\'ot\\';",
        "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
    ]
    assert table == ["ro'ot\\", ["or`ders"], "CREATE TABLE price (cents int);\n"]
    assert scripted[1] == ["scripted"]
    assert str(scripted[2]).startswith("or`ders from ")


def test_a_first_script_that_fails_leaves_no_half_database(tmp_path: Path, programs: Made) -> None:
    programs(mysqld=MYSQLD, mariadb=CLIENT)
    files = {"mesh.toml": DATABASE, "password": "", "first/1.sh": "echo it is wrong >&2; exit 3\n"}
    with supervised(tmp_path, files, Options(data=tmp_path / "kept")) as project:
        project.line("db", "it is wrong")
        project.change("db", "failed", "image mysql:8 ended with status 3")
        assert not (tmp_path / "kept" / "db").exists()


def test_an_installed_rabbitmq_gets_the_user_and_the_pages_of_its_image(
    tmp_path: Path, programs: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "_SCRIPT", "/nowhere")
    record = programs(rabbitmq_server=RABBITMQ, epmd="note(*words)\nwhile True: signal.pause()\n")
    toml = """\
        [services.mq]
        image = "rabbitmq:3-management"
        tcp = { ports = [15673, 15672], aliases = ["mq:15672", "mq:5672"] }
        env = { RABBITMQ_DEFAULT_PASS = "a \\"b\\\\" }
        """
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        pages, queues = [each.port for each in project.supervisor.snapshot["mq"].tcp]
        assert project.supervisor.snapshot["mq"].state == "ready"
    told = sorted(noted(record), key=len)
    assert told[0] == ["-address", "127.0.0.1"]
    terms, plugins, address = told[1]
    assert (plugins, address) == ("[rabbitmq_management].\n", "127.0.0.1")
    assert f'{{tcp_listeners, [{{"127.0.0.1", {queues}}}]}}' in str(terms)
    assert f"[{{port, {pages}}}," in str(terms)
    assert '{default_user, <<"guest"/utf8>>}' in str(terms)
    assert r'{default_pass, <<"a \"b\\"/utf8>>}' in str(terms)


def test_bitnami_s_rabbitmq_has_other_variables_and_its_pages(
    tmp_path: Path, programs: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "_SCRIPT", "/nowhere")
    record = programs(rabbitmq_server=RABBITMQ, epmd="while True: signal.pause()\n")
    toml = """\
        [services.mq]
        image = "bitnami/rabbitmq:3"
        tcp = { ports = [15672, 15673], aliases = ["mq:5672", "mq:15672"] }
        env = { RABBITMQ_USERNAME = "shop" }
        """
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        assert project.supervisor.snapshot["mq"].state == "ready"
    ((terms, plugins, _),) = noted(record)
    assert plugins == "[rabbitmq_management].\n"
    assert '{default_user, <<"shop"/utf8>>}' in str(terms)
    assert '{default_pass, <<"bitnami"/utf8>>}' in str(terms)


def test_a_published_port_that_the_program_does_not_serve_is_told(
    tmp_path: Path, programs: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageInstance, "_others_within", 0.1)
    programs(redis_server=SERVING.format(option="--port"))
    toml = '[services.it]\nimage = "redis"\ntcp = { ports = [6379, 7000], aliases = ["it:6379", "it:8001"] }\n'
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        unserved = project.supervisor.snapshot["it"].tcp[1].port
        assert project.line("it", "nothing answers").text == f"nothing answers on tcp port {unserved}"
        assert project.supervisor.snapshot["it"].state == "ready"


def test_a_program_listens_where_its_port_is_published_whichever_comes_first(tmp_path: Path) -> None:
    ports = [(13307, 33060), (13306, 3306)]
    image = WantedImage("shop", "db", "mysql", ports, (), (), (), tmp_path)
    assert [image.port(3306), image.port(33060), image.port(1)] == [13306, 13307, 13307]
    assert WantedImage("shop", "db", "mysql", (), (), (), (), tmp_path).port(3306) == 0


@pytest.mark.parametrize(
    ("image", "program", "option", "told"),
    [
        ("redislabs/redismod", "redis_server", "--port", "redis-server runs in the place of redislabs/redismod, "),
        ("axllent/mailpit:v1", "mailpit", "--smtp", ""),
        ("mailhog/mailhog", "mailpit", "--smtp", ""),
        ("valkey/valkey", "redis_server", "--port", ""),
    ],
)
def test_a_program_that_can_do_less_is_said_to(
    tmp_path: Path, programs: Made, monkeypatch: pytest.MonkeyPatch, image: str, program: str, option: str, told: str
) -> None:
    programs(**{program: SERVING.format(option=option)})
    monkeypatch.setattr("mesh.hosting.images.installed._FOLDERS", ())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/sbin") if program == "mailpit" else None
    toml = f'[services.it]\nimage = "{image}"\ntcp = {{ port = 0, aliases = ["it:1025"] }}\n'
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        assert project.supervisor.snapshot["it"].state == "ready"
        if told:
            assert project.line("it", told).text.endswith("without its modules")


@pytest.mark.skipif(installed("mariadbd") is None, reason="MariaDB is not installed")
def test_a_real_mariadb_knows_the_users_and_ran_the_first_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "engine", lambda: None)
    files = {
        "mesh.toml": DATABASE.replace("MYSQL_USER", 'MYSQL_DATABASE = "or`ders", MYSQL_USER').replace(
            "mysql:8", "mariadb"
        ),
        "password": "it's",
        "first/1.sql": "CREATE TABLE price (cents int);\n",
        "first/2.sh": 'mariadb -uroot -p"$MYSQL_ROOT_PASSWORD" "$MYSQL_DATABASE" -e "INSERT INTO price VALUES (19)"\n',
    }

    client = installed("mariadb") or ""

    def asked(user: str, password: str) -> str:
        port = project.supervisor.directory.address("db", "tcp").port
        words = [f"--{name}={value}" for name, value in {"user": user, "password": password, "port": port}.items()]
        sql = "SELECT sum(cents) FROM price"
        command = [client, "--no-defaults", "--host=127.0.0.1", *words, "--batch", "-N", "-e", sql, "or`ders"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr

    for _ in range(2):
        with supervised(tmp_path, files, Options(data=tmp_path / "kept", start_within=PATIENCE)) as project:
            assert [asked("shop", "it's"), asked("root", "ro'ot\\")] == ["19", "19"]


@pytest.mark.skipif(installed("rabbitmq-server") is None, reason="RabbitMQ is not installed")
def test_a_real_rabbitmq_knows_the_user_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "engine", lambda: None)
    toml = """\
        [services.mq]
        image = "rabbitmq:3-management"
        tcp = { ports = [15672, 15673], aliases = ["mq:5672", "mq:15672"] }
        env = { RABBITMQ_DEFAULT_USER = "sh\\"op", RABBITMQ_DEFAULT_PASS = "a \\"b\\\\" }
        """
    with supervised(tmp_path, {"mesh.toml": toml}, Options(start_within=PATIENCE)) as project:
        pages = project.supervisor.snapshot["mq"].tcp[1]
        answer = requests.get(f"http://{pages}/api/whoami", auth=('sh"op', 'a "b\\'), timeout=30)
        assert answer.json()["name"] == 'sh"op'

"""Commands of containers as mesh would run them: Python becomes `run`, steps before a server are done before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.topology.drafting.draft import draft
from mesh.topology.model import Http
from tests.topology.drafting.composing import FASTAPI, composed


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("python -u server.py --fast", "python server.py --fast"),
        ("python -m app.main", "python -m app.main"),
        ('["/usr/local/bin/python", "/code/server.py"]', "python server.py"),
        ("poetry run uvicorn app.main:app", "uvicorn app.main:app"),
        ("sh -c 'LEVEL=debug uvicorn app.main:app'", "uvicorn app.main:app"),
        ("sh -c 'exec uvicorn app.main:app --port 80'", "uvicorn app.main:app --port 80"),
        ("./wait-for-it.sh db:5432 -- gunicorn app.main:app", "gunicorn app.main:app"),
        ("python -m uvicorn app.main:app", "python -m uvicorn app.main:app"),
        ("./manage.py runserver 0.0.0.0:80", "python manage.py runserver 0.0.0.0:80"),
        ("tini -- python server.py", "python server.py"),
    ],
)
def test_python_commands_become_run(tmp_path: Path, command: str, run: str) -> None:
    topology = composed(
        tmp_path,
        f"services: {{web: {{build: ., command: {command}, volumes: ['.:/code'], working_dir: /code}}}}\n",
        app__main_py=FASTAPI,
        server_py="print('server')\n",
        manage_py="print('manage')\n",
    )
    assert (topology["web"].run, topology["web"].root) == (run, tmp_path)


@pytest.mark.parametrize("worker", ["-k gevent", "--worker-class eventlet", "--worker-class=geventwebsocket"])
def test_a_worker_that_patches_its_process_has_one_of_its_own(tmp_path: Path, worker: str) -> None:
    line = f"gunicorn --bind 0.0.0.0:5000 {worker} -w 1 app:app"
    topology = composed(
        tmp_path, f"services: {{web: {{build: ., command: '{line}', ports: ['5000:5000']}}}}", app_py=FASTAPI
    )
    command = f"gunicorn --bind 0.0.0.0:$PORT {worker} -w 1 app:app"
    assert (topology["web"].run, topology["web"].command) == (None, command)


def test_the_steps_before_a_server_are_done_before_it(tmp_path: Path) -> None:
    """Migrations are run once, and the service waits for their end (I8)."""
    topology = composed(
        tmp_path,
        """\
services:
  web:
    build: .
    command: sh -c "python manage.py migrate && python manage.py runserver 0.0.0.0:8000"
    ports: ["8000:8000"]
  script: {build: ., command: ./start.sh, expose: ["9000"]}
  setup: {build: ., command: 'python -c "init_db()"'}
  waited: {build: ., command: python seed.py}
  last: {build: ., command: python last.py, depends_on: {waited: {condition: service_completed_successfully}}}
""",
        manage_py="print('manage')\n",
        seed_py="print('seed')\n",
        last_py="print('last')\n",
        start_sh="#!/bin/sh\nset -e\npython manage.py collectstatic --noinput\nexec gunicorn -b :9000 app:app\n",
        app_py=FASTAPI,
    )
    steps = [(each.name, each.run or each.command, each.ready, each.depends_on) for each in topology]
    assert steps == [
        ("web-migrate", "python manage.py migrate", "done", ()),
        ("web", "python manage.py runserver 0.0.0.0:8000", "port", ("web-migrate",)),
        ("script-collectstatic", "python manage.py collectstatic --noinput", "done", ()),
        ("script", "gunicorn -b :9000 app:app", "port", ("script-collectstatic",)),
        ("setup", "python -c 'init_db()'", "done", ()),
        ("waited", "python seed.py", "done", ()),
        ("last", "python last.py", "port", ("waited",)),
    ]
    assert topology["script"].http == Http((9000,))


def test_what_a_script_decides_is_left_out_and_said(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        "services: {web: {build: ., command: python server.py}}\n",
        Dockerfile='FROM python\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["/app/entry.sh"]\n',
        entry_sh='#!/bin/bash\nif [ -n "$SEED" ]; then\n  python seed.py\nfi\nexec "$@"\n',
        server_py="print('server')\n",
    )
    assert topology["web"].run == "python server.py"
    assert "# entry.sh is left out, which the image runs first\n[services.web]\n" in draft(tmp_path).text


WAITING = """\
#!/bin/sh

if [ "$DATABASE" = "postgres" ]
then
    echo "Waiting for postgres..."

    while ! nc -z $SQL_HOST $SQL_PORT; do
      sleep 0.1
    done

    echo "PostgreSQL started"
fi

python manage.py migrate

exec "$@"
"""


@pytest.mark.parametrize(
    ("command", "before"),
    [
        ("./entry.sh python manage.py runserver", ("web-migrate",)),
        ("bash -c 'while !</dev/tcp/db/5432; do sleep 1; done; python manage.py runserver'", ()),
        ("sh -c 'until pg_isready -h db; do echo waiting; sleep 2; done && python manage.py runserver'", ()),
    ],
)
def test_a_loop_that_waits_for_a_service_becomes_a_dependency(
    tmp_path: Path, command: str, before: tuple[str, ...]
) -> None:
    web = f'{{build: ., command: "{command}", environment: {{SQL_HOST: db}}}}'
    topology = composed(
        tmp_path,
        f"services: {{web: {web}, db: {{image: postgres}}}}\n",
        entry_sh=WAITING,
        manage_py="print('manage')\n",
    )
    assert topology["web"].run == "python manage.py runserver"
    assert topology["web"].depends_on == ("db", *before)
    assert [topology[each].depends_on for each in before] == [("db",) for _ in before]


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        (
            "sh -c 'flask init; flask upgrade && flask seed; gunicorn app:app'",
            ["init || true", "upgrade", "seed || true"],
        ),
        ("bash -ec 'flask init; gunicorn app:app'", ["init"]),
        ("sh -c 'set -e; flask init; gunicorn app:app'", ["init"]),
        ("./start.sh", ["init || true", "upgrade || true"]),
        ("./strict.sh", ["init"]),
        ("./long.sh", ["worker &", "init && flask seed || true"]),
        ("sh -c 'flask init; gunicorn app:app;'", ["init || true"]),
    ],
)
def test_a_step_may_fail_where_the_shell_goes_on_after_it(tmp_path: Path, command: str, steps: list[str]) -> None:
    topology = composed(
        tmp_path,
        f"services: {{web: {{build: ., command: {json.dumps(command)}, ports: ['8000:8000']}}}}\n",
        app_py=FASTAPI,
        start_sh="#!/bin/sh\nflask init\nflask upgrade\nexec gunicorn app:app\n",
        long_sh="#!/bin/sh\nflask worker &\nflask init &&\n  flask seed\npip install -e .\ngunicorn app:app\n".replace(
            "pip install -e .\n", ""
        ),
        strict_sh="#!/bin/bash -e\nflask init\nexec gunicorn app:app\n",
    )
    assert [each.command for each in topology if each.name != "web"] == [f"flask {step}" for step in steps]


def test_a_step_is_what_runs_in_the_environment_of_a_tool(tmp_path: Path) -> None:
    line = "poetry run alembic upgrade head && uv run --frozen uvicorn app:app"
    topology = composed(tmp_path, f"services: {{web: {{build: ., command: sh -c '{line}'}}}}\n", app_py=FASTAPI)
    assert [(each.name, each.run or each.command) for each in topology] == [
        ("web-upgrade", "alembic upgrade head"),
        ("web", "uvicorn app:app"),
    ]


def test_a_shell_s_program_is_not_taken_apart(tmp_path: Path) -> None:
    line = "for each in one two; do python manage.py $$each; done; python manage.py runserver"
    topology = composed(
        tmp_path, f"services: {{web: {{build: ., command: sh -c '{line}'}}}}\n", manage_py="print('manage')\n"
    )
    assert [(each.name, each.run, each.command) for each in topology] == [("web", None, line.replace("$$", "$"))]


def test_what_several_services_do_first_is_done_once(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  web: {build: ., command: ./entry.sh python manage.py runserver, environment: &own {A: "1"}}
  worker: {build: ., command: ./entry.sh celery -A core worker, environment: *own}
  other: {build: ., command: ./entry.sh celery -A core beat, environment: {A: "2"}}
""",
        entry_sh='#!/bin/sh\npython manage.py migrate\npython manage.py collectstatic\nexec "$@"\n',
        manage_py="print('manage')\n",
    )
    assert {each.name: each.depends_on for each in topology} == {
        "web-migrate": (),
        "web-collectstatic": ("web-migrate",),
        "web": ("web-collectstatic",),
        "worker": ("web-collectstatic",),
        "other-migrate": (),
        "other-collectstatic": ("other-migrate",),
        "other": ("other-collectstatic",),
    }


def test_what_is_done_once_needs_none_of_those_for_which_it_is_done(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  web: {build: ., command: ./entry.sh python manage.py runserver, depends_on: [db, worker]}
  worker: {build: ., command: ./entry.sh celery -A core worker, depends_on: [db]}
  db: {image: postgres}
""",
        entry_sh='#!/bin/sh\npython manage.py migrate\nexec "$@"\n',
        manage_py="print('manage')\n",
    )
    assert {each.name: each.depends_on for each in topology} == {
        "web-migrate": ("db",),
        "web": ("db", "worker", "web-migrate"),
        "worker": ("db", "web-migrate"),
        "db": (),
    }


def test_gunicorn_s_configuration_names_the_port(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  named: {build: ., command: gunicorn --config own.py app:app}
  usual: {build: ., command: gunicorn app:app}
""",
        own_py="workers = 1\nbind = '0.0.0.0:5005'\n",
        app_py=FASTAPI,
        **{"gunicorn.conf.py": 'bind = ["127.0.0.1:9001"]\n'},
    )
    assert [each.http for each in topology] == [Http((5005,)), Http((9001,))]


def test_a_script_that_is_run_as_a_whole_is_the_file_here_and_variables_of_files_are_known(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  decides: {build: ., command: ["/bin/sh", "/scripts/start.sh", "/scripts/nothing.sh"], volumes: ["./scripts:/scripts"]}
  waits: {build: ., command: /scripts/wait.sh uvicorn app:app, volumes: ["./scripts:/scripts"]}
  worker: {build: ., command: /scripts/worker.sh, volumes: ["./scripts:/scripts"], env_file: [.env]}
""",
        Dockerfile="FROM python\nWORKDIR /app\nCOPY src/ ./\n",
        src__app_py=FASTAPI,
        scripts__start_sh='if [ "$DEBUG" ]; then\n  python app.py\nelse\n  uvicorn app:app\nfi\n',
        scripts__wait_sh='#!/bin/bash\nif true; then\n  "$@"\nfi\n',
        scripts__worker_sh='#!/bin/sh\ncelery -A "$APP_NAME" worker --name "$OTHER$APP_NAME"\n',
        **{".env": "APP_NAME=shop\n"},
    )
    assert topology["decides"].command == "/bin/sh ../scripts/start.sh /scripts/nothing.sh"
    assert topology["decides"].root == tmp_path / "src"
    assert topology["waits"].command == "bash ../scripts/wait.sh uvicorn app:app"
    assert topology["worker"].command == "celery -A shop worker --name shop"


def test_a_script_that_waits_for_its_first_argument_starts_the_others(tmp_path: Path) -> None:
    topology = composed(
        tmp_path,
        """\
services:
  web: {build: ., command: ["./wait.sh", "db", "uvicorn", "app:app"]}
  other: {build: ., command: ["./shifted.sh", "db", "python", "other.py"]}
  db: {image: postgres}
""",
        app_py=FASTAPI,
        other_py="print('other')\n",
        wait_sh="""\
#!/bin/sh
set -e
host="$1"
shift
cmd="$@"
until PGPASSWORD=$POSTGRES_PASSWORD psql -h "$host" -U postgres -c '\\q'; do
  >&2 echo "Postgres is unavailable - sleeping"
  sleep 1
done
>&2 echo "Postgres is up"
exec $cmd
""",
        shifted_sh='#!/bin/sh\nhost="$1"\nshift\nuntil nc -z "$host" 1; do true; done\nexec "$@"\n',
    )
    assert [each.run for each in topology] == ["uvicorn app:app", "python other.py", None]
    assert [each.depends_on for each in topology] == [("db",), ("db",), ()]

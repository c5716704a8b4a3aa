"""Code that nobody has touched for a year gets the packages of its time from `mesh install`."""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import pytest

from mesh.hosting.packages.installation import add_package
from mesh.hosting.packages.requirement_files import requirement_files
from tests.support.package_index import package_index
from tests.support.programs import Shell, get
from tests.support.wheels import make_wheel

TOML = """
    [services.users]
    http = {port = 0, app = "app:app"}
"""
WHEELS = {"greeting-1.0": "2021-02-27", "greeting-2.0": "2021-03-01", "greeting-3.0": "2022-01-01"}
APP = """
    import greeting

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": greeting.TEXT.encode()})
"""
#: Of wheels that tests make.
LATELY = {"greeting-4.0": str(date.today() - timedelta(days=50)), "word-1.0": "2020-01-01"}


@pytest.fixture(params=["pip", "uv"])
def project(shell: Shell, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A service that needs `greeting`, of which there are three; one of the tools, which sees our index alone."""
    wheels, programs = tmp_path / "wheels", tmp_path / "bin"
    for folder in (wheels, programs):
        folder.mkdir()
    for wheel in WHEELS:
        name, version = wheel.split("-")
        make_wheel(wheels, name, version, {"greeting.py": f"TEXT = '{wheel}'\n"})
    pip = _wheel_of_pip(wheels)
    if request.param == "uv":
        (programs / "uv").symlink_to(Path(sys.executable).parent / "uv")
    shell.write({"mesh.toml": TOML, "app.py": APP, "requirements.txt": "greeting\n"})
    with package_index(wheels, {**WHEELS, **LATELY, pip: "2021-01-01"}) as url:
        shell.env |= {
            "PATH": f"{programs}:/usr/bin:/bin",
            "PIP_INDEX_URL": url,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_CONFIG_FILE": "/dev/null",
            "UV_DEFAULT_INDEX": url,
            "UV_NO_CACHE": "1",
            "UV_NO_CONFIG": "1",
        }
        yield shell


def _wheel_of_pip(folder: Path) -> str:
    """Write the pip that is installed here as a wheel; return the start of its file's name."""
    installed = distribution("pip")
    with zipfile.ZipFile(folder / f"pip-{installed.version}-py3-none-any.whl", "w") as wheel:
        for file in installed.files or ():
            if file.parts[0] != ".." and file.suffix != ".pyc":
                wheel.write(file.locate(), str(file))
    return f"pip-{installed.version}"


def commit(folder: Path, day: str) -> None:
    words = ("git", "-c", "user.name=A", "-c", "user.email=a@example.com")
    env = {"GIT_AUTHOR_DATE": f"{day}T10:00:00Z", "GIT_COMMITTER_DATE": f"{day}T10:00:00Z", "PATH": "/usr/bin:/bin"}
    for rest in (("init", "-q"), ("add", "mesh.toml", "app.py", "requirements.txt"), ("commit", "-qm", "Work")):
        subprocess.run([*words, *rest], cwd=folder, check=True, env=env)


class Installed(NamedTuple):
    """began: the line that says what is installed, if something is. greeting: the text of the one that is used."""

    began: str
    greeting: str


def install(shell: Shell, *words: str) -> Installed:
    done = shell.run("install", *words)
    assert done.process.returncode == 0, done.text()
    used = shell.folder / done.out[0].strip().removeprefix("users: uses ")
    (module,) = used.glob("lib/python3.*/site-packages/greeting.py")
    began = next((line for line in done.err if line.startswith("installing")), "")
    return Installed(began.partition(" with ")[2].partition(" ")[2], module.read_text().split("'")[1])


def test_the_packages_are_those_of_the_last_commit(project: Shell) -> None:
    commit(project.folder, "2021-03-01")
    assert install(project) == ("as of 2021-03-01 ...\n", "greeting-2.0")  # published on that day
    assert install(project) == ("", "greeting-2.0")
    assert install(project, "--as-of", "2022-06-01") == ("as of 2022-06-01 ...\n", "greeting-3.0")
    assert install(project) == ("", "greeting-3.0")
    assert install(project, "--as-of", "2021-03-01") == ("", "greeting-2.0")


def test_a_new_requirement_does_not_make_the_others_newer(project: Shell, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "word", "1.0", {"word.py": ""})
    commit(project.folder, "2021-03-01")
    assert install(project).greeting == "greeting-2.0"
    project.write({"requirements.txt": "greeting\nword\n"})
    assert install(project) == ("as of 2021-03-01 ...\n", "greeting-2.0")


def test_a_day_that_was_named_is_kept_though_something_is_not_to_be_had_on_it(project: Shell) -> None:
    assert install(project, "--as-of", "2021-03-01").greeting == "greeting-2.0"
    project.write({"requirements.txt": "greeting>=3\n"})
    assert project.run("install").process.returncode == 1
    project.write({"requirements.txt": "greeting>=1\n"})
    assert install(project) == ("as of 2021-03-01 ...\n", "greeting-2.0")


def test_folders_with_the_same_requirements_have_the_packages_of_their_own_days(project: Shell) -> None:
    project.write({"young/app.py": APP, "young/requirements.txt": "greeting\n"})
    project.write({"mesh.toml": TOML + '\n[services.young]\nroot = "young"\nhttp = {port = 0, app = "app:app"}\n'})
    commit(project.folder, "2021-03-01")
    assert project.run("install").process.returncode == 0
    mesh = project.up()
    assert [get(mesh.http(name)).text for name in ("users", "young")] == ["greeting-2.0", "greeting-3.0"]
    mesh.end(signal.SIGTERM)


def test_a_package_that_is_added_later_is_of_the_same_day(
    project: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "wheels", "word", "1.0", {"word.py": ""})
    project.write({"requirements.txt": "word\n"})
    commit(project.folder, "2021-03-01")
    assert project.run("install").process.returncode == 0
    files = requirement_files(project.folder, project.folder)
    assert files is not None
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    add_package(project.folder, files, "greeting")
    assert install(project).greeting == "greeting-2.0"


@pytest.mark.parametrize("state", ["no repository", "edited", "young"])
def test_code_that_is_worked_on_gets_the_newest(project: Shell, state: str) -> None:
    if state != "no repository":
        commit(project.folder, "2021-03-01" if state == "edited" else str(date.today() - timedelta(days=100)))
    if state == "edited":
        project.write({"app.py": "import greeting as hello\n"})
    assert install(project) == ("...\n", "greeting-3.0")


def test_todays_packages_are_taken_where_those_of_the_day_cannot_be_installed(project: Shell) -> None:
    commit(project.folder, "2019-01-01")
    done = project.run("install")
    assert done.process.returncode == 0, done.text()
    assert "the packages of 2019-01-01 cannot be installed; today's are tried now ...\n" in done.err
    assert install(project) == ("", "greeting-3.0")
    assert project.run("install", "--as-of", "2019-01-01").process.returncode == 1
    assert install(project) == ("", "greeting-3.0")
    assert project.run("install", "--as-of", "9999-12-31").process.returncode == 0


def test_code_that_fails_in_a_newer_package_is_told_of_its_time(project: Shell, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "greeting", "4.0", {"greeting.py": "import what_it_newly_needs\n"})
    day = date.today() - timedelta(days=100)
    commit(project.folder, str(day))
    assert project.run("install").process.returncode == 0
    mesh = project.up()
    (said,) = mesh.wait_for(lambda: [each["text"] for each in mesh.events() if "newer" in each.get("text", "")])
    assert said == (
        f"its packages may be newer than its code allows: `mesh install --as-of {day} users` takes those of its last "
        "commit"
    )
    mesh.end(signal.SIGTERM)
    assert install(project, "--as-of", str(day)).greeting == "greeting-3.0"
    mesh = project.up()
    assert get(mesh.http("users")).text == "greeting-3.0"
    mesh.end(signal.SIGTERM)

"""Processes of Python services, forked by one that has imported what all of them need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL, SIGTERM

import psutil
import pytest

from mesh.runtime.launching.zygote import Zygote
from mesh.runtime.messages import ServiceCommand
from tests.support.processes import mesh_up
from tests.support.programs import ended
from tests.support.supervised import PATIENCE, Project, supervised, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process starts anew")

#: Tells what its process is: the parent, the folder, the group, a variable, and the time zone.
APP = """\
import os, random, sys, time

async def app(scope, receive, send):
    if scope["type"] == "http":
        name = scope["path"][1:]
        facts = {
            "parent": os.getppid(),
            "group": os.getpgrp() - os.getpid(),
            "folder": os.path.basename(os.getcwd()),
            "first": os.path.basename(sys.path[0]),
            "mine": os.environ.get("MINE"),
            "zone": time.tzname[0],
            "hashed": hash("mesh"),
            "random": random.random(),
        }
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(facts[name]).encode()})
"""
TWO = {
    "mesh.toml": """\
        [services.one]
        root = "one"
        http = { port = 0, app = "app:app" }
        isolation = "process"
        env = { MINE = "1", TZ = "XYZ-3" }

        [services.two]
        root = "two"
        http = { port = 0, app = "app:app" }
        isolation = "process"
        """,
    "one/app.py": APP,
    "two/app.py": APP,
}


def zygotes(pid: int | None = None) -> list[psutil.Process]:
    """Return the zygotes that the process, by default this one, has started."""
    return [each for each in psutil.Process(pid).children() if each.cmdline()[-2:] == ["mesh", "zygote"]]


def told(project: Project, service: str, *names: str) -> list[str]:
    return [project.get(service, f"/{name}").text for name in names]


def test_each_process_is_a_fork_with_variables_a_folder_and_a_group_of_its_own(tmp_path: Path) -> None:
    with supervised(tmp_path, TWO) as project:
        (zygote,) = zygotes()
        parent = str(zygote.pid)
        names = ("parent", "group", "folder", "first", "mine", "zone")
        assert told(project, "one", *names) == [parent, "0", "one", "one", "1", "XYZ"]
        assert told(project, "two", *names[:5]) == [parent, "0", "two", "two", "None"]
        assert told(project, "two", "zone") != ["XYZ"]
        assert told(project, "one", "random") != told(project, "two", "random")
        assert {psutil.Process(each.pid).name() for each in zygote.children()} == {"one", "two"}
        assert zygote.environ().get("MINE") is None
    assert zygotes() == []
    assert not psutil.pid_exists(zygote.pid)


def test_variables_that_python_reads_at_its_start_get_a_process_that_starts_anew(tmp_path: Path) -> None:
    files = {**TWO, "mesh.toml": TWO["mesh.toml"].replace('TZ = "XYZ-3"', 'PYTHONHASHSEED = "7"')}
    expected = subprocess.run(
        [sys.executable, "-c", "print(hash('mesh'))"], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True
    )
    with supervised(tmp_path, files) as project:
        own = [f"{each}" for each in (os.getpid(), *(zygote.pid for zygote in zygotes()))]
        assert sorted(told(project, "one", "parent") + told(project, "two", "parent")) == sorted(own)
        assert told(project, "one", "hashed") == [expected.stdout.strip()]
        assert told(project, "two", "hashed") != [expected.stdout.strip()]


def test_a_killed_zygote_costs_its_processes_and_the_next_ones_start_anew(tmp_path: Path) -> None:
    with supervised(tmp_path, TWO) as project:
        (zygote,) = zygotes()
        forked = [each.pid for each in zygote.children()]
        zygote.kill()
        for name in ("one", "two"):
            project.change(name, "failed", "its process was ended by SIGKILL")
        since = len(project.entries)
        warned = project.line("mesh", "the process that forks the services' processes has ended")
        assert warned.text.endswith("status -9; each of them starts anew")
        for name in ("one", "two"):
            if project.supervisor.snapshot[name].state != "ready":
                project.change(name, "ready", since=since)
            assert told(project, name, "parent") == [str(os.getpid())]
        assert all(ended(pid, PATIENCE) for pid in forked)


def test_an_edited_declaration_gets_another_zygote_and_the_first_ends_with_its_processes(tmp_path: Path) -> None:
    zygote = Zygote(pytest.fail)
    processes = [zygote.start(tmp_path, dict(os.environ), []) for _ in range(2)]
    zygote.renew()
    processes.append(zygote.start(tmp_path, dict(os.environ), []))
    first, second = zygotes()
    assert (len(first.children()), len(second.children())) == (2, 1)
    for process in processes:
        os.kill(process.pid, SIGTERM)
        assert process.wait() == -SIGTERM == process.poll()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    assert ended(first.pid, PATIENCE)
    zygote.close()
    assert zygotes() == []


def test_a_restarted_process_is_forked_again_and_its_status_told(tmp_path: Path) -> None:
    with supervised(tmp_path, TWO) as project:
        (zygote,) = zygotes()
        before = {each.pid for each in zygote.children()}
        project.supervisor.post(ServiceCommand("one", "restart"))
        project.line("one", "restarted in ")
        assert len(before - {each.pid for each in zygote.children()}) == 1
        next(each for each in zygote.children() if each.name() == "one").send_signal(SIGKILL)
        project.change("one", "failed", "its process was ended by SIGKILL")


def test_a_zygote_ends_with_its_processes_when_mesh_is_killed(tmp_path: Path) -> None:
    write(tmp_path, TWO)
    with mesh_up(tmp_path) as running:
        (zygote,) = zygotes(running.process.pid)
        pids = [zygote.pid, *(each.pid for each in zygote.children())]
        assert len(pids) == 3
        running.process.kill()
        assert [ended(pid, PATIENCE) for pid in pids] == [True, True, True]

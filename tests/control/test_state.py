"""The notes of running meshes: which are believed, and which are cleared away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh import Grpc, Http, MeshError, Service, Topology
from mesh.control import client
from mesh.control.client import SilentError, alive
from mesh.control.state import Running, noted, parts_of, starting, write
from mesh.state_folder import state_folder


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """The URL of somebody who takes connections and answers with these bytes, or never."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                if answer is not None:
                    connection.recv(4096)
                    connection.sendall(answer)
                    connection.close()

        taker = threading.Thread(target=take, daemon=True)
        taker.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        taker.join(10)
        for connection in taken:
            connection.close()


def note(project: Path, url: str, pid: int | None = None) -> Path:
    return write(project, Running(pid or os.getpid(), url, "token", ("one.http",)))


def gone() -> int:
    """Return a pid that nobody has any more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_notes_come_in_the_order_in_which_the_meshes_began(tmp_path: Path) -> None:
    for number, pid in enumerate((961, 1007, 12)):
        os.utime(note(tmp_path, "http://127.0.0.1:1", pid), (1000 + number, 1000 + number))
    assert [running.pid for _, running in noted(tmp_path)] == [961, 1007, 12]


def test_a_note_whose_port_is_closed_is_cleared_away(tmp_path: Path) -> None:
    with listening(None) as url:
        pass
    path = note(tmp_path, url)
    assert alive(tmp_path) == []
    assert not path.exists()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"SSH-2.0-x\r\n",
        b"",
    ],
)
def test_a_note_whose_port_is_another_programs_is_cleared_away(tmp_path: Path, answer: bytes) -> None:
    with listening(answer) as url:
        path = note(tmp_path, url)
        assert alive(tmp_path) == []
    assert not path.exists()


def test_a_mesh_that_does_not_answer_is_not_taken_for_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_WITHIN", 0.1)
    with listening(None) as url:
        path = note(tmp_path, url)
        with pytest.raises(SilentError, match=f"the mesh with pid {os.getpid()} .* does not answer"):
            alive(tmp_path)
        assert path.exists()


def test_a_silent_port_of_a_process_that_is_gone_is_another_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_WITHIN", 0.1)
    with listening(None) as url:
        path = note(tmp_path, url, gone())
        assert alive(tmp_path) == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\x00", '{"pid": 1, "url": 2, "token": 3, "parts": 4}'])
def test_a_note_that_makes_no_sense_counts_as_none(tmp_path: Path, text: str) -> None:
    (state_folder(tmp_path) / "run" / "1.json").write_text(text)
    assert noted(tmp_path) == []


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    running = Running(4711, "http://127.0.0.1:4999", "secret", ("user.http", "user.grpc", "worker"))
    path = write(tmp_path, running)
    assert noted(tmp_path) == [(path, running)]
    assert running.services == ("user", "worker")
    assert running.sharing(["user.grpc", "other.http"]) == ("user",)
    assert json.loads(path.read_text())["token"] == "secret"


def test_what_one_mesh_alone_can_run_are_listeners_and_services_without_one(tmp_path: Path) -> None:
    topology = Topology(
        "test", Service("user", http=Http((1, 2)), grpc=Grpc(3)), Service("worker", command="sleep 1"), folder=tmp_path
    )
    assert parts_of(topology) == ("user.http", "user.grpc", "worker")


def test_the_state_is_kept_from_other_users_and_from_git(tmp_path: Path) -> None:
    folder = state_folder(tmp_path)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "run")] == [0o700, 0o700]
    assert (folder / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o777, 0o701])
def test_a_folder_open_to_others_is_closed_to_them(tmp_path: Path, mode: int) -> None:
    for folder in (tmp_path / ".mesh", tmp_path / ".mesh" / "run"):
        folder.mkdir()
        folder.chmod(mode)
    path = note(tmp_path, "http://127.0.0.1:1")
    found = (tmp_path / ".mesh", tmp_path / ".mesh" / "run", path)
    assert [each.stat().st_mode & 0o777 for each in found] == [0o700, 0o700, 0o600]


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_folder(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(MeshError, match=r"\.mesh belongs to another user \(uid \d+\), who could read the token"):
        state_folder(tmp_path)


def test_a_folder_whose_mode_cannot_be_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems take every chmod and do nothing."""
    (tmp_path / ".mesh").mkdir()
    (tmp_path / ".mesh").chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(MeshError, match=r"\.mesh is open to other users, and its file system supports no modes"):
        state_folder(tmp_path)


@pytest.mark.parametrize("name", ["run/{}.json", "run/{}.new", "lock"])
def test_a_link_in_the_place_of_a_state_file_is_not_written_through(tmp_path: Path, name: str) -> None:
    link = state_folder(tmp_path) / name.format(os.getpid())
    (tmp_path / "theirs").write_text("theirs")
    link.symlink_to(tmp_path / "theirs")
    if name == "lock":
        with pytest.raises(MeshError, match=r"\.mesh cannot be written"), starting(tmp_path):
            pass
    else:
        path = note(tmp_path, "http://127.0.0.1:1")
        assert (path.is_symlink(), path.stat().st_mode & 0o777) == (False, 0o600)
        assert [each.url for _, each in noted(tmp_path)] == ["http://127.0.0.1:1"]
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_note_that_was_readable_for_others_is_made_anew(tmp_path: Path) -> None:
    path = note(tmp_path, "http://127.0.0.1:1")
    path.chmod(0o644)
    with path.open() as theirs:
        note(tmp_path, "http://127.0.0.1:2")
        assert "127.0.0.1:1" in theirs.read()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "project").write_text("a file where a folder should be")
    with pytest.raises(MeshError, match=r"project/\.mesh cannot be written: .*; run mesh in a folder of yours"):
        state_folder(tmp_path / "project")


def test_one_mesh_of_a_project_starts_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with starting(tmp_path):
            order.append("second")

    with starting(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]

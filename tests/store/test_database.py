"""A service's database: private, shared by threads, honest when it is locked, full or damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from mesh import Code, MeshError, Options, StatusError, Supervisor
from mesh.pytest_plugin import Mesh
from mesh.store import database as module
from mesh.store.database import Database
from mesh.store.topology import store
from mesh.topology.selection import renumber, select

SCHEMA = "CREATE TABLE words (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT); INSERT INTO words (word) VALUES ('a');"
INSERT = "INSERT INTO words (word) VALUES (?)"

Open = Callable[[Path | None], Database]


@pytest.fixture
def opened() -> Iterator[Open]:
    """`opened(path)` is a Database that is closed after the test."""
    made: list[Database] = []

    def open_(path: Path | None) -> Database:
        made.append(Database(path, SCHEMA))
        return made[-1]

    yield open_
    for each in made:
        each.close()


def words(database: Database) -> list[str]:
    return [row["word"] for row in database.rows("SELECT word FROM words ORDER BY id")]


@pytest.fixture
def user_service(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """`user_service(data)` runs the user service with its database in that folder."""
    running: list[Supervisor] = []

    def start(data: Path) -> Supervisor:
        declared = renumber(store(tmp_path), None, True)
        running.append(Supervisor(select(declared, ["user-service"], []), declared, Options(data=data)))
        running[-1].start()
        return running[-1]

    yield start
    for each in running:
        each.stop()


def url(running: Supervisor, path: str) -> str:
    return f"http://{running.directory.address('user-service', 'http')}{path}"


def test_files_are_the_users_alone_and_so_are_the_folders_made_for_them(tmp_path: Path, opened: Open) -> None:
    opened(tmp_path / "new" / "data" / "d.db").insert(INSERT, ("b",))
    folders = [tmp_path / "new", tmp_path / "new" / "data"]
    files = sorted(folders[1].iterdir())
    assert [file.name for file in files] == ["d.db", "d.db-shm", "d.db-wal"]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3
    assert [oct(folder.stat().st_mode & 0o777) for folder in folders] == ["0o700"] * 2


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    opened(tmp_path / "shared" / "d.db")
    assert oct((tmp_path / "shared").stat().st_mode & 0o777) == "0o755"


def test_content_stays_and_the_first_rows_are_made_once(tmp_path: Path, opened: Open) -> None:
    first = opened(tmp_path / "d.db")
    assert first.insert(INSERT, ("b",)).id == 2
    first.close()
    assert words(opened(tmp_path / "d.db")) == ["a", "b"]


@pytest.mark.parametrize("name", ["d.db", None])
def test_a_reset_brings_the_first_content_and_the_first_ids_back(
    tmp_path: Path, opened: Open, name: str | None
) -> None:
    database = opened(tmp_path / name if name else None)
    database.insert(INSERT, ("b",))
    database.reset()
    assert words(database) == ["a"]
    assert database.insert(INSERT, ("c",)).id == 2


def test_threads_write_at_once_and_nothing_is_lost_or_numbered_twice(tmp_path: Path, opened: Open) -> None:
    """Two connections, as of two processes, each with many threads."""
    databases = [opened(tmp_path / "d.db"), opened(tmp_path / "d.db")]
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda n: databases[n % 2].insert(INSERT, (str(n),)).id, range(400)))
    assert sorted(ids) == list(range(2, 402))
    assert sorted(words(databases[0])[1:], key=int) == [str(n) for n in range(400)]


def test_fifty_creates_at_once_are_fifty_users(mesh: Mesh) -> None:
    http, grpc = mesh.http("gateway"), mesh.stub("user-service")

    def create(n: int) -> int:
        name, email = f"n{n}", f"n{n}@x"
        if n % 2:
            return int(grpc.CreateUser(name=name, email=email).id)
        return int(http.post("/api/users", json={"name": name, "email": email}).json()["id"])

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(create, range(50)))
    assert sorted(ids) == list(range(3, 53))
    assert len(http.get("/api/grpc/users").json()) == 52


def test_a_database_locked_by_another_program_is_unavailable_after_the_time_to_wait(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY", 0.05)
    database = opened(tmp_path / "d.db")
    other = sqlite3.connect(tmp_path / "d.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StatusError) as caught:
        database.insert(INSERT, ("b",))
    assert str(caught.value) == "UNAVAILABLE: the database cannot answer: database is locked"
    assert words(database) == ["a"]
    other.execute("ROLLBACK")
    other.close()
    assert database.insert(INSERT, ("c",)).id == 2


def test_over_http_a_locked_database_is_503_with_retry_after_and_then_works_again(
    tmp_path: Path, user_service: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY", 0.05)
    running = user_service(tmp_path / "data")
    other = sqlite3.connect(tmp_path / "data" / "user-service.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    locked = requests.post(url(running, "/users"), json={"name": "N", "email": "n@x"}, timeout=10)
    assert (locked.status_code, locked.headers["retry-after"]) == (503, "1")
    message = "the database cannot answer: database is locked"
    assert locked.json() == {"code": 14, "message": message, "details": []}
    assert len(requests.get(url(running, "/users"), timeout=10).json()) == 2
    other.execute("ROLLBACK")
    other.close()
    assert requests.post(url(running, "/users"), json={"name": "N", "email": "n@x"}, timeout=10).status_code == 201


def test_nobody_queues_up_behind_a_statement_that_waits(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY", 0.05)
    database = opened(None)
    with database._lock, pytest.raises(StatusError) as caught:
        words(database)
    assert str(caught.value) == "UNAVAILABLE: the database has been busy for 0.05 s"


def test_a_full_disk_is_unavailable_leaves_no_partial_row_and_passes(tmp_path: Path, opened: Open) -> None:
    database = opened(tmp_path / "d.db")
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StatusError) as caught:
        database.insert(INSERT, ("x" * 100_000,))
    assert str(caught.value) == "UNAVAILABLE: the database cannot answer: database or disk is full"
    assert words(database) == ["a"]
    database.rows(f"PRAGMA max_page_count = {pages + 100}")
    assert database.insert(INSERT, ("x" * 100_000,)).id == 2


def test_a_file_that_is_no_database_is_named_with_the_way_out_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    path.write_bytes(b"my diary, not a database\n" * 400)
    with pytest.raises(MeshError) as caught:
        Database(path, SCHEMA)
    assert str(caught.value) == (
        f"the database {path} cannot be opened: file is not a database; move it away, or give another --data"
    )
    assert path.read_bytes() == b"my diary, not a database\n" * 400


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    _damage(path, opened)
    with pytest.raises(MeshError, match=r"cannot be opened: .+; move it away, or give another --data"):
        Database(path, SCHEMA)


def test_a_page_damaged_while_it_runs_is_data_loss_naming_the_file(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    database = opened(path)
    database.rows("PRAGMA cache_size = 0")
    _damage(path, opened)
    with pytest.raises(StatusError) as caught:
        words(database)
    assert caught.value.code is Code.DATA_LOSS
    assert str(path) in caught.value.message
    assert "move it away" in caught.value.message


def _damage(path: Path, opened: Open) -> None:
    """Fills the file's tables, and overwrites all of its pages but the first."""
    database = opened(path)
    for n in range(100):
        database.insert(INSERT, (f"{n}" * 100,))
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def test_a_service_with_a_damaged_database_fails_with_its_path_and_advice(
    tmp_path: Path, user_service: Callable[..., Supervisor]
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "user-service.db"
    path.write_bytes(b"\x00garbage" * 1000)
    running = user_service(tmp_path / "data")
    state = running.snapshot["user-service"]
    assert state.state == "failed"
    assert str(state.reason).startswith(f"the database {path} cannot be opened: file is not a database; move it away")
    answer = requests.get(url(running, "/users"), timeout=10)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert str(path) in answer.json()["message"]
    assert path.read_bytes() == b"\x00garbage" * 1000


def test_a_service_whose_data_folder_cannot_be_made_fails_with_its_path(
    tmp_path: Path, user_service: Callable[..., Supervisor]
) -> None:
    (tmp_path / "file").write_text("in the way")
    running = user_service(tmp_path / "file" / "data")
    state = running.snapshot["user-service"]
    assert state.state == "failed"
    assert state.reason == (
        f"the database {tmp_path}/file/data/user-service.db cannot be made: {tmp_path}/file: File exists; "
        "give another --data"
    )


def test_a_connection_serves_whatever_thread_asks(opened: Open) -> None:
    database = opened(None)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(words, database).result() == ["a"]
        assert pool.submit(database.insert, INSERT, ("b",)).result().id == 2
    assert words(database) == ["a", "b"]

"""A service's database: private, shared by threads, honest when it is locked, full or damaged."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from mesh import Code, MeshError, Options, StatusError, Supervisor
from mesh.pytest_plugin import Mesh
from mesh.runtime.messages import ServiceCommand
from mesh.store import database as module
from mesh.store.database import Database
from mesh.store.once import ONCE_SCHEMA
from mesh.store.tables import Tables
from mesh.store.topology import store
from mesh.topology.selection import renumber, select

SCHEMA = "CREATE TABLE words (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT); INSERT INTO words (word) VALUES ('a');"
TABLES = Tables(SCHEMA)
INSERT = "INSERT INTO words (word) VALUES (?)"

Open = Callable[[Path | None], Database]


@pytest.fixture
def opened() -> Iterator[Open]:
    """`opened(path)` is a Database that is closed after the test."""
    made: list[Database] = []

    def open_(path: Path | None) -> Database:
        made.append(Database(path, TABLES))
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
        running.append(Supervisor(select(declared, ["user-service"]), Options(data=data)))
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
        Database(path, TABLES)
    assert str(caught.value) == (
        f"the database {path} cannot be opened: file is not a database; move it away, or give another --data"
    )
    assert path.read_bytes() == b"my diary, not a database\n" * 400


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    _damage(path, opened)
    with pytest.raises(MeshError, match=r"cannot be opened: .+; move it away, or give another --data"):
        Database(path, TABLES)


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
    """Fill the file's tables, and overwrites all of its pages but the first."""
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


def _rescued(path: Path) -> list[str]:
    """Return the words in the one copy that was saved beside the database."""
    (copy,) = path.parent.glob(f"{path.name}.rescued-*")
    assert oct(copy.stat().st_mode & 0o777) == "0o600"
    connection = sqlite3.connect(copy)
    found = [row[0] for row in connection.execute("SELECT word FROM words ORDER BY id")]
    connection.close()
    return found


def _refused(database: Database) -> str:
    """Return what the database says to a read and to a write."""
    with pytest.raises(StatusError) as written:
        database.insert(INSERT, ("lost",))
    with pytest.raises(StatusError) as read:
        words(database)
    assert written.value.code is read.value.code is Code.UNAVAILABLE
    assert written.value.message == read.value.message
    return written.value.message


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_deleted_file_is_refused_with_its_path_said_once_and_its_content_is_saved(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    path = tmp_path / "d.db"
    database = opened(path)
    database.insert(INSERT, ("b",))
    Path(f"{path}{suffix}").unlink()
    message = _refused(database)
    assert message.startswith(f"the database {path}{suffix} was deleted or replaced while in use; its content is saved")
    assert message.endswith(f"move that to {path} to keep it, then restart the service")
    assert [record.getMessage() for record in caplog.records] == [message]
    assert _rescued(path) == ["a", "b"]


def test_the_saved_content_takes_the_place_of_a_deleted_file(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    database = opened(path)
    for n in range(100):
        database.insert(INSERT, (f"{n}" * 100,))
    path.unlink()
    _refused(database)
    database.close()
    (copy,) = tmp_path.glob("d.db.rescued-*")
    copy.rename(path)
    assert len(words(opened(path))) == 101


def test_a_restart_without_the_saved_content_begins_anew(tmp_path: Path, opened: Open) -> None:
    database = opened(tmp_path / "d.db")
    database.insert(INSERT, ("b",))
    (tmp_path / "d.db").unlink()
    _refused(database)
    database.close()
    assert words(opened(tmp_path / "d.db")) == ["a"]


def test_a_file_with_another_in_its_place_is_refused_and_the_other_is_left_whole(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    other = opened(tmp_path / "other.db")
    other.insert(INSERT, ("other",))
    other.close()
    database = opened(path)
    database.insert(INSERT, ("b",))
    (tmp_path / "other.db").replace(path)
    assert "was deleted or replaced" in _refused(database)
    assert _rescued(path) == ["a", "b"]
    database.close()
    assert words(opened(path)) == ["a", "other"]


def test_what_is_written_while_the_file_is_deleted_is_not_answered_as_stored(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    database = opened(path)
    # SQLite calls this within the transaction, before its commit.
    database._connection.create_function("delete_the_file", 0, path.unlink)
    with pytest.raises(StatusError, match="was deleted or replaced"):
        database.insert("INSERT INTO words (word) SELECT 'b' WHERE delete_the_file() IS NULL", ())
    assert _rescued(path) == ["a", "b"]


def test_a_whole_data_folder_removed_is_refused_and_saved(
    tmp_path: Path, user_service: Callable[..., Supervisor]
) -> None:
    running = user_service(tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    for path in ("/users", "/users/1"):
        refused = requests.get(url(running, path), timeout=10)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert str(tmp_path / "data" / "user-service.db") in refused.json()["message"]
    assert len(list((tmp_path / "data").glob("user-service.db.rescued-*"))) == 1


def test_a_program_that_looks_in_does_not_take_the_log_away_from_a_reloaded_service(
    tmp_path: Path, opened: Open
) -> None:
    """A reload opens the file while the generation before still has it; both hold the locks of one process."""
    path = tmp_path / "d.db"
    first, second = opened(path), opened(path)
    first.insert(INSERT, ("b",))
    look = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM words').fetchall(); c.close()"
    )
    subprocess.run([sys.executable, "-c", f"{look}; c.close()", path], check=True)
    assert second.insert(INSERT, ("c",)).id == 3
    assert words(first) == ["a", "b", "c"]


def test_a_database_from_before_versions_is_of_the_first_and_keeps_its_content(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    before = sqlite3.connect(path)
    before.executescript(f"{ONCE_SCHEMA}{SCHEMA} INSERT INTO words (word) VALUES ('old');")
    before.close()
    database = opened(path)
    assert words(database) == ["a", "old"]
    assert database.rows("PRAGMA user_version")[0][0] == 1


MIGRATIONS = (
    "ALTER TABLE words ADD COLUMN language TEXT NOT NULL DEFAULT ''; UPDATE words SET language = 'en; de';",
    "ALTER TABLE words RENAME COLUMN language TO spoken;",
)
NEWER = SCHEMA.replace("word TEXT", "word TEXT, spoken TEXT NOT NULL DEFAULT ''")


def test_an_older_database_is_migrated_step_by_step_and_once(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    first = opened(path)
    first.insert(INSERT, ("b",))
    first.close()
    for _ in range(2):
        database = Database(path, Tables(NEWER, MIGRATIONS))
        assert [tuple(row) for row in database.rows("SELECT word, spoken FROM words")] == [
            ("a", "en; de"),
            ("b", "en; de"),
        ]
        assert database.rows("PRAGMA user_version")[0][0] == 3
        database.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    opened(path).close()
    with pytest.raises(MeshError, match=r"d\.db cannot be opened: no such table: nowhere"):
        Database(path, Tables(SCHEMA, (MIGRATIONS[0], "DROP TABLE nowhere;")))
    database = opened(path)
    assert [tuple(row) for row in database.rows("SELECT * FROM words")] == [(1, "a")]


def test_a_newer_database_is_refused_with_the_way_out_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    Database(path, Tables(NEWER, MIGRATIONS)).close()
    content = path.read_bytes()
    with pytest.raises(MeshError) as caught:
        Database(path, TABLES)
    assert str(caught.value) == (
        f"the database {path} cannot be opened: it has version 3, but this mesh knows up to 1: a newer mesh has "
        "written it; move it away, or give another --data"
    )
    assert path.read_bytes() == content


def test_a_database_of_another_service_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    Database(path, Tables("CREATE TABLE plants (id INTEGER PRIMARY KEY);")).close()
    content = path.read_bytes()
    with pytest.raises(MeshError, match=r"it is of another service or version: column words\.id is missing; move it"):
        Database(path, TABLES)
    assert path.read_bytes() == content


def test_a_database_migrated_by_another_mesh_while_it_is_in_use_is_refused(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    database = opened(path)
    Database(path, Tables(NEWER, MIGRATIONS)).close()
    assert _refused(database).startswith(f"the database {path} now has version 3, but this service needs 1; move")


def test_a_deletion_that_no_call_has_noticed_is_noticed_at_the_end(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "d.db"
    database = opened(path)
    database.insert(INSERT, ("b",))
    path.unlink()
    for _ in range(2):  # to close it twice is no mistake, and saves nothing twice
        database.close()
        assert _rescued(path) == ["a", "b"]


def test_a_file_deleted_after_the_end_is_nobodys_loss(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    database = opened(tmp_path / "d.db")
    database.close()
    (tmp_path / "d.db").unlink()
    database.save_lost()
    assert (caplog.records, list(tmp_path.iterdir())) == ([], [])


def test_content_that_cannot_be_saved_is_said_and_leaves_no_file(tmp_path: Path, opened: Open) -> None:
    database = opened(tmp_path / "data" / "d.db")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("a file in the way")
    assert "its content could not be saved (" in _refused(database)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_restart_before_any_call_has_noticed_loses_nothing(
    tmp_path: Path, user_service: Callable[..., Supervisor], is_replaced: bool
) -> None:
    """A restart opens the database again while the previous code still has it open."""
    running = user_service(tmp_path / "data")
    path = tmp_path / "data" / "user-service.db"
    if is_replaced:
        other = user_service(tmp_path / "other")
        other.stop()
    for n in range(100):
        new = {"name": f"{n}" * 100, "email": "n@x"}
        assert requests.post(url(running, "/users"), json=new, timeout=10).status_code == 201
    if is_replaced:
        (tmp_path / "other" / "user-service.db").replace(path)
    else:
        path.unlink()
    generation = running.snapshot["user-service"].generation
    running.post(ServiceCommand("user-service", "restart"))
    deadline = time.monotonic() + 60
    while running.snapshot["user-service"].generation == generation:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(requests.get(url(running, "/users"), timeout=10).json()) == 2
    (copy,) = path.parent.glob("user-service.db.rescued-*")
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (102,)
    connection.close()

"""Runs in files: whole after whatever end, bounded, for their user alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mesh.observing.journal import Change, Entry, Line
from mesh.observing.recorder import Recorder
from mesh.observing.runs import KEPT_RUNS, RunFile, new_run, run_files
from mesh.observing.span import Span

#: Higher than any pid of Linux and macOS.
NO_PID = 2**22 + 1
TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(number: int, request: bytes = b"\x08\x01", trace: str = TRACE) -> Span:
    return Span(
        "user", "server", "grpc", "/user.UserService/GetUser", "", trace, f"{number:016x}", None, 1.5, request=request
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / ".mesh").mkdir()
    return new_run(tmp_path)


def read(file: Path, trace: str | None = None) -> list[Entry]:
    run = RunFile(file)
    try:
        return [entry for _, entry in run.entries(trace)]
    finally:
        run.close()


def test_what_was_recorded_is_read_back_as_it_was_and_in_its_order(file: Path) -> None:
    given: list[Entry] = [
        Change("user", "ready", None, 1.0),
        Line("user", "hello \U0001f600", "stderr", 2.0, TRACE, "0000000000000001", "WARNING"),
        span(1),
        Line("user", "alone", "stdout", 3.0),
        span(2, trace="b" * 32),
    ]
    recorder = Recorder(file, pytest.fail)
    for each in given:
        recorder(each)
    recorder.close()
    assert read(file) == given
    assert read(file, "0af76519") == given[1:3]


def test_a_flush_waits_for_no_interval(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.observing.recorder.INTERVAL_SECONDS", 60.0)
    recorder = Recorder(file, pytest.fail)
    for number in (1, 2):
        recorder(span(number))
        recorder.flush(30)
        assert [each.span_id for each in read(file) if isinstance(each, Span)][-1] == f"{number:016x}"
    recorder.close()


def test_twelve_thousand_entries_at_once_from_many_threads_are_all_in_the_file(file: Path) -> None:
    recorder = Recorder(file, pytest.fail)

    def record(part: int) -> None:
        for number in range(1500):
            recorder(span(part * 1500 + number))

    threads = [threading.Thread(target=record, args=(part,)) for part in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    recorder.close()
    found = [each.span_id for each in read(file) if isinstance(each, Span)]
    assert sorted(found) == [f"{number:016x}" for number in range(12_000)]


def test_what_comes_faster_than_it_can_be_written_is_counted(file: Path) -> None:
    held = RunFile(file)
    held._database.execute("BEGIN IMMEDIATE")  # The recorder's first batch waits for this.
    recorder = Recorder(file, pytest.fail, backlog=100)
    for number in range(300):
        recorder(span(number))
    held._database.execute("COMMIT")
    recorder.close()
    kept, lost = len(read(file)), held.lost()
    held.close()
    assert kept + lost == 300
    assert lost >= 100  # One batch may have been taken, and one waits.


WRITER = """\
import sys, time
from pathlib import Path
from mesh.observing.recorder import Recorder
from mesh.observing.span import Span

recorder = Recorder(Path(sys.argv[1]), print)
for number in range(10_000_000):
    recorder(Span("user", "server", "http", "GET", "/", "t", str(number), None, 1.0))
    if number % 40 == 0:
        time.sleep(0.02)
"""


def test_a_run_is_read_while_it_is_written_and_whole_after_the_process_was_killed(file: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(file)])
    seen = 0
    try:
        while seen < 2000 and process.poll() is None:
            seen = len(read(file))
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    spans = [each.span_id for each in read(file) if isinstance(each, Span)]
    assert len(spans) >= seen >= 2000
    assert spans == [str(number) for number in range(len(spans))]


def test_a_full_file_gives_up_its_oldest_entries(file: Path) -> None:
    run = RunFile(file, max_bytes=1_000_000)
    for batch in range(40):
        run.write([(batch * 10 + each, span(batch * 10 + each, bytes(10_000))) for each in range(10)])
    kept = [number for number, _ in run.entries()]
    run.close()
    assert kept[-1] == 399
    assert kept == list(range(kept[0], 400))
    assert 50 <= len(kept) <= 110
    assert file.stat().st_size < 1_500_000


def test_the_newest_runs_and_those_in_use_are_kept_and_are_for_their_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".mesh" / "runs"
    folder.mkdir(parents=True)
    for number in range(KEPT_RUNS + 3):
        (folder / f"20200101-0000{number:02}-{NO_PID}.db").touch()
    (folder / f"20200101-000000-{NO_PID}.db-wal").touch()
    in_use = folder / f"20191231-000000-{os.getpid()}.db"
    in_use.touch()
    file = new_run(tmp_path)
    assert run_files(tmp_path)[0] == file
    assert len(run_files(tmp_path)) == KEPT_RUNS + 1
    assert run_files(tmp_path)[-1] == in_use
    assert not (folder / f"20200101-000000-{NO_PID}.db-wal").exists()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_told_once_and_nothing_fails(file: Path) -> None:
    file.write_bytes(b"not a database, by far not one, though it is long enough to look like one" * 20)
    told: list[str] = []
    heard = threading.Event()

    def warn(text: str) -> None:
        told.append(text)
        heard.set()

    recorder = Recorder(file, warn)
    recorder(span(1))
    assert heard.wait(30)
    recorder(span(2))
    recorder.close()
    assert len(told) == 1
    assert f"{file} cannot be written: file is not a database" in told[0]

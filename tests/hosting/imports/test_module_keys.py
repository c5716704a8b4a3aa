"""Keys of `sys.modules`: bounded in number under one name, never merged, and checked at the start."""

from __future__ import annotations

import builtins
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh.hosting.imports.module_keys import MAX_ACTIVE, Gate, ModuleKey, is_supported
from tests.support.supervised import supervised

if TYPE_CHECKING:
    from tests.hosting.conftest import Load, Loaded, Write

APP = "def late():\n    import models\n    return models.N\n"


@pytest.fixture
def many(write: Write, code_of: Load) -> list[Loaded]:
    """Twenty services that have all names in common, loaded."""
    made = [code_of(f"s{n}", write(f"s{n}", {"app.py": APP, "models.py": f"N = {n}"})) for n in range(20)]
    for each in made:
        each.call(each.load("app:late"))
    return made


def active(name: str) -> int:
    """Return how many keys a look-up of that name may pass."""
    return sum(isinstance(key, ModuleKey | Gate) and str.__eq__(key, name) for key in list(sys.modules))


def test_a_look_up_passes_few_keys_however_many_services_have_the_name(many: list[Loaded]) -> None:
    for turn in range(3):
        for n, each in enumerate(many):
            assert each.call(each.load("app:late")) == n, turn
            assert active("models") <= MAX_ACTIVE + 1


def test_each_thread_finds_its_own_while_all_look_at_once(many: list[Loaded]) -> None:
    wrong: list[tuple[int, Any]] = []

    def look(n: int, each: Loaded) -> None:
        late = each.load("app:late")
        for _ in range(200):
            if (found := each.call(late)) != n:
                wrong.append((n, found))

    threads = [threading.Thread(target=look, args=each) for each in enumerate(many)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_what_one_deletes_the_others_still_find(many: list[Loaded]) -> None:
    for each in many[::2]:
        each.call(sys.modules.pop, "models")
    for n, each in enumerate(many):
        assert (each.call(sys.modules.get, "models") is None) == (n % 2 == 0)
        assert each.call(each.load("app:late")) == n


def test_copies_and_updates_of_sys_modules_keep_every_entry(many: list[Loaded]) -> None:
    copy = dict(sys.modules)
    assert copy.keys() == sys.modules.keys()
    copy.update(sys.modules)
    assert len(copy) == len(sys.modules)


def test_code_of_no_service_finds_what_one_service_alone_has(write: Write, code_of: Load) -> None:
    """Finds, as for a finalizer or a C library's thread, the newest generation's, and nothing that is installed."""
    one, two = (code_of("one", write(f"one{n}", {"only.py": f"N = {n}", "click.py": "N = 0"})) for n in (1, 2))
    assert one.load("only:N") == one.load("click:N") + 1
    assert __import__("only").N == 1
    assert two.load("only:N") == 2
    assert __import__("only").N == 2
    assert not hasattr(__import__("click"), "N")
    code_of("other", write("other", {"only.py": ""})).load("only:__name__")
    with pytest.raises(ModuleNotFoundError, match="No module named 'only'"):
        __import__("only")


def broken(real: Any) -> Any:
    def __import__(name: str, *args: Any, **options: Any) -> Any:  # noqa: A001
        if name == "mesh_self_check":
            raise ModuleNotFoundError(name)
        return real(name, *args, **options)

    return __import__


def test_an_interpreter_that_finds_modules_in_another_way_is_found_out(
    monkeypatch: pytest.MonkeyPatch, write: Write, code_of: Load
) -> None:
    """One service alone has plain names then, and its newest code has them."""
    assert is_supported()
    monkeypatch.setattr(builtins, "__import__", broken(builtins.__import__))
    assert not is_supported()
    for n in (1, 2):
        service = code_of("one", write(f"one{n}", {"app.py": APP, "models.py": f"N = {n}"}))
        assert service.call(service.load("app:late")) == n
        assert n == sys.modules["models"].N


def test_there_each_of_several_services_gets_a_process_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = "import os\nasync def app(scope, receive, send):\n"
    app += "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
    app += "    await send({'type': 'http.response.body', 'body': str(os.getpid()).encode()})\n"
    files = {"a.py": app, "b.py": app}
    files["mesh.toml"] = "".join(f'[services.{n}]\nhttp = {{ port = 0, app = "{n}:app" }}\n' for n in "ab")
    monkeypatch.setattr(builtins, "__import__", broken(builtins.__import__))
    with supervised(tmp_path, files) as project:
        assert len({project.get(name, "/").text for name in "ab"} | {str(os.getpid())}) == 3

"""Statements that a module runs beside serving, as `mesh check` tells them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from mesh.topology.declaration.reading import read
from mesh.topology.own_main import remarks

SERVICER = """
    def serve():
        server = grpc.server(ThreadPoolExecutor(max_workers=10))
        add_UsersServicer_to_server(Users(), server)
        server.add_insecure_port("[::]:50051")
        server.start()
        server.wait_for_termination()
"""
PLAIN = 'if __name__ == "__main__":\n        logging.basicConfig()\n        serve()'
MORE = 'if __name__ == "__main__":\n        load_data()\n        cache.warm()\n        serve()'
ASYNC = """
    async def main():
        await database.connect()
        await uvicorn.Server(uvicorn.Config(app)).serve()

    if __name__ == "__main__":
        asyncio.run(main())
"""
HELPER = """
    def init_db():
        connection.execute("create table users")

    if __name__ == "__main__":
        init_db()
        app.run(port=5000)
"""


@pytest.mark.parametrize(
    ("code", "beside"),
    [
        (f"{SERVICER}\n    {PLAIN}", None),
        (f"{SERVICER}\n    {MORE}", "load_data(), warm()"),
        (ASYNC, "connect()"),
        (HELPER, "init_db()"),
        ('if __name__ == "__main__":\n    unittest.main()', None),
        ("init_db()", None),
        ("if", None),
    ],
    ids=["plain", "more", "async", "helper", "tests", "import", "mistake"],
)
def test_what_a_main_does_beside_serving_is_told(code: str, beside: str | None, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(textwrap.dedent(code))
    file = tmp_path / "mesh.toml"
    topology = read('[services.users]\ngrpc = { port = 1, servicers = ["server:Users"] }', file, file)
    expected = (
        f"users: server.py also calls {beside} when it is run, which naming its servicers leaves out; "
        'run = "server.py" does all of it'
    )
    assert list(remarks(topology)) == ([expected] if beside else [])


def test_a_service_that_runs_its_program_needs_no_remark(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(textwrap.dedent(HELPER))
    file = tmp_path / "mesh.toml"
    assert list(remarks(read('[services.users]\nrun = "server.py"\nhttp = 1', file, file))) == []

"""Types that mypy knows of a peer made from a generated stub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from mesh.contract.protoc import run_protoc

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CODE = """\
from calls_pb2 import Item
from calls_pb2_grpc import CallsStub
from mesh import Peer, SyncPeer

peer = Peer(CallsStub, timeout=2.0)
plain = SyncPeer(CallsStub)
named = Peer("calls")


async def ask() -> None:
    reveal_type(await peer.Get(Item(id=1), timeout=1.0))
    async for item in peer.Watch(Item(id=1)):
        reveal_type(item)
    reveal_type(await peer.Sum(iter([Item()])))
    await peer.Get("text")
    await peer.Gte(Item())
    reveal_type(await named.Get(id=1))


reveal_type(plain.Get(Item(id=1)))
Peer("calls", tiemout=2.0)
"""


def test_a_peer_of_a_stub_has_the_stubs_types(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    run_protoc(
        [
            f"-I{HERE}",
            *(f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
            *(f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            "calls.proto",
        ]
    )
    (tmp_path / "code.py").write_text(textwrap.dedent(CODE))
    # The cache of `make lint`: without it the whole of mesh is read again.
    words = [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), "code.py"]
    words += ["--config-file=", "--strict", "--no-error-summary", "--hide-error-context", "--follow-imports=silent"]
    ran = subprocess.run(
        words,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    said = [re.sub(r"  \[.*\]$|^code\.py:", "", line) for line in ran.stdout.splitlines()]
    assert [line for line in said if "overload" not in line and "def " not in line] == [
        '11: note: Revealed type is "calls_pb2.Item"',
        '13: note: Revealed type is "calls_pb2.Item"',
        '14: note: Revealed type is "calls_pb2.Item"',
        '15: error: Argument 1 to "__call__" of "UnaryUnaryMultiCallable" has incompatible type "str"; expected "Item"',
        '16: error: "CallsAsyncStub" has no attribute "Gte"',
        '17: note: Revealed type is "Any"',
        '20: note: Revealed type is "calls_pb2.Item"',
    ]
    assert any('Unexpected keyword argument "tiemout"' in line for line in said)

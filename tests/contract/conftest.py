"""The library's stubs, generated for this run, and a client of ASGI apps that needs no server."""

import sys
import tempfile
from pathlib import Path

from mesh.contract.protoc import compile_protos

_out = tempfile.TemporaryDirectory(prefix="library-")
compile_protos(Path(__file__).parent, Path(_out.name))
sys.path.append(_out.name)

"""Runs an installed pgAdmin as its image would: with a login, and its files in a folder of the project."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.hosting.images.image import WantedImage

#: What pgAdmin imports last of its settings. As a package of Python it would need no login, and use the home folder.
_SETTINGS = """\
SERVER_MODE = True
UPGRADE_CHECK_ENABLED = False
DEFAULT_SERVER = "127.0.0.1"
DEFAULT_SERVER_PORT = {port}
DATA_DIR = {data!r}
LOG_FILE = DATA_DIR + "/pgadmin4.log"
SQLITE_PATH = DATA_DIR + "/pgadmin4.db"
SESSION_DB_PATH = DATA_DIR + "/sessions"
STORAGE_DIR = DATA_DIR + "/storage"
AZURE_CREDENTIAL_CACHE_DIR = DATA_DIR + "/azure"
KERBEROS_CCACHE_DIR = DATA_DIR + "/kerberos"
"""
#: Those by which pgAdmin makes its first user, and those of the image.
VARIABLES = {
    "PGADMIN_SETUP_EMAIL": "PGADMIN_DEFAULT_EMAIL",
    "PGADMIN_SETUP_PASSWORD": "PGADMIN_DEFAULT_PASSWORD",
}


def pgadmin(image: WantedImage, program: str) -> str:
    """Write the settings to the image's folder, and return the shell command that runs it."""
    image.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = Path(image.data) / "config_local.py"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(_SETTINGS.format(port=image.server_port(80), data=str(image.data)))
    data = shlex.quote(str(image.data))
    return f'umask 077\nexport PYTHONPATH={data}"${{PYTHONPATH:+:$PYTHONPATH}}"\nexec {shlex.quote(program)}'

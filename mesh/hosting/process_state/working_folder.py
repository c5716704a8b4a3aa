"""A service's own working folder: on Linux a thread can have one, shared by the threads it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CLONE_FS = 0x200


def own_folder(root: Path) -> str | None:
    """Make `root` the working folder of the calling thread and of every thread it starts from now on.

    Call it first in the service's thread. Returns None, or one sentence about why it is not possible; then the
    process's working folder is kept. Raises OSError if the folder cannot be entered. The umask becomes
    the thread's own as well.
    """
    refusal = _unshare()
    if refusal is None:
        os.chdir(root)
        return None
    return f"relative paths start at {Path.cwd()}, not at {root}: {refusal}"


def _unshare() -> str | None:
    if sys.platform != "linux":
        return "only Linux gives a thread its own working folder"
    if sys.version_info >= (3, 12):
        try:
            os.unshare(os.CLONE_FS)
        except OSError as error:
            return f"unshare(CLONE_FS) was refused ({error.strerror})"
        return None
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FS) == 0:
        return None
    return f"unshare(CLONE_FS) was refused ({os.strerror(ctypes.get_errno())})"

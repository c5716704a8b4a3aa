"""`module:attribute`: how mesh.toml, the command line and the loader name an object of Python code."""

from __future__ import annotations

import re

from msgspec import Struct

from mesh.errors import UsageError

_NAME = r"[^\W\d]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_FORM = re.compile(
    rf"(?P<module>{_DOTTED}|[^:]*[^:/]\.py):(?P<attribute>{_DOTTED})(?P<call>\(\s*\))?",
)


class Reference(Struct, frozen=True):
    """An object by the module, or the file, that holds it.

    module: dotted name (`app.views`) or path of a file (`web/app.py`), relative to where the reference is read.
    attribute: name in that module, dotted if it lies deeper. call: True for a factory, `create_app()`.
    """

    module: str
    attribute: str
    call: bool = False

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse `module:attribute`, `module:factory()` or `path/to/file.py:attribute`.

        Raises UsageError for any other form.
        """
        matched = _FORM.fullmatch(text.strip())
        if matched is None:
            raise UsageError(f"{text!r} is not a reference; expected {EXPECTED}")
        return cls(matched["module"], matched["attribute"], matched["call"] is not None)

    @property
    def is_file(self) -> bool:
        return self.module.endswith(".py")

    @property
    def path(self) -> str:
        """Return the file of a module that is no package, relative to where the reference is read."""
        return self.module if self.is_file else f"{self.module.replace('.', '/')}.py"


#: What a reference looks like, for error messages.
EXPECTED = '"module:attribute", "module:function()" or "path/to/file.py:attribute"'
#: The same form as a JSON Schema's pattern, which has no named groups.
JSON_PATTERN = rf"^\s*(?:{re.sub(r'[?]P<[a-z]+>', '?:', _FORM.pattern)})\s*$"

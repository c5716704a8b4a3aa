"""A module's spec that makes the import system use a key of `sys.modules`, and looks unchanged to all others."""

from __future__ import annotations

from importlib.machinery import ModuleSpec


class KeyedSpec(ModuleSpec):
    """A spec whose `name` is the key while the import system executes the module, and a plain str otherwise."""

    _key: str
    _plain: str
    _keeps_key = False

    @classmethod
    def of(cls, spec: ModuleSpec, key: str, keep_key: bool = False) -> KeyedSpec:
        """A copy of the spec. keep_key: for `importlib.reload`, which does not say when it begins and ends."""
        copy = cls.__new__(cls)
        copy.__dict__.update(
            {name: value for name, value in vars(spec).items() if name not in ("name", "_initializing")}
        )
        copy._key, copy._plain, copy._keeps_key = key, spec.name, keep_key
        return copy

    @property
    def name(self) -> str:
        """The name under which the import system stores the module, and which becomes its `__name__`."""
        return self._key if self._keeps_key or self.__dict__.get("_initializing") else self._plain

    @name.setter
    def name(self, name: str) -> None:
        self._plain = name

"""C extensions that a test writes and compiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

_INCLUDE = sysconfig.get_paths()["include"]
_COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_compiler = pytest.mark.skipif(
    _COMPILER is None or not Path(_INCLUDE, "Python.h").exists(), reason="needs a C compiler and Python's headers"
)

_SOURCE = """
#include <Python.h>

static PyObject *word(PyObject *self, PyObject *none) { return PyUnicode_FromString("%(word)s"); }
static PyMethodDef methods[] = {{"word", word, METH_NOARGS, 0}, {0}};
"""
_ONE_PHASE = """
static int times = 0;
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "%(name)s", 0, -1, methods};

PyMODINIT_FUNC PyInit_%(name)s(void) {
    if (times++) {
        PyErr_SetString(PyExc_ImportError, "cannot load module more than once per process");
        return 0;
    }
    return PyModule_Create(&module);
}
"""
#: Counts how often it is executed, in the module itself.
_TWO_PHASES = """
static int run(PyObject *self) {
    PyObject *before = PyObject_GetAttrString(self, "times");
    long times = before ? PyLong_AsLong(before) : 0;
    Py_XDECREF(before);
    PyErr_Clear();
    return PyModule_AddIntConstant(self, "times", times + 1);
}
static PyModuleDef_Slot slots[] = {{Py_mod_exec, run}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "%(name)s", 0, 0, methods, slots};

PyMODINIT_FUNC PyInit_%(name)s(void) { return PyModuleDef_Init(&module); }
"""
#: As numpy and PyO3 are made, which refuse a second time; and as Cython and newer ones are.
KINDS = {"one phase": _ONE_PHASE, "two phases": _TWO_PHASES}


def compile_extension(folder: Path, name: str, word: str, kind: str) -> Path:
    """Put a library with `word()` into the folder, as linkers and setuptools do, replacing the one before."""
    source = folder / f"{name}.c"
    source.write_text((_SOURCE + KINDS[kind]) % {"name": name, "word": word})
    made = folder / f"{name}.new"
    flags = ["-shared", "-fPIC", *(["-undefined", "dynamic_lookup"] if os.uname().sysname == "Darwin" else [])]
    subprocess.run([str(_COMPILER), *flags, f"-I{_INCLUDE}", str(source), "-o", str(made)], check=True)
    library = folder / (name + str(sysconfig.get_config_var("EXT_SUFFIX")))
    os.replace(made, library)
    return library

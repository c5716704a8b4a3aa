"""References to objects of Python code, as mesh.toml, the command line and the loader write them."""

from __future__ import annotations

import pytest

from mesh.errors import UsageError
from mesh.references import Reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app:app", Reference("app", "app")),
        ("shop.web.views:site.app", Reference("shop.web.views", "site.app")),
        ("app:create_app()", Reference("app", "create_app", call=True)),
        ("main.py:app", Reference("main.py", "app")),
        ("sub-folder/app.py:create_app( )", Reference("sub-folder/app.py", "create_app", call=True)),
        (" app:app ", Reference("app", "app")),
    ],
)
def test_a_reference_names_a_module_or_a_file_and_an_attribute(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["app", "app.app", ":app", "app:", "service-book.main:app", "app:1", "a:b:c", "sub/app:app", ".py:app"]
)
def test_another_form_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Reference.parse(text)
    assert str(error.value) == (
        f'{text!r} is not a reference; expected "module:attribute", "module:function()" or "path/to/file.py:attribute"'
    )

"""Django projects as `startproject` and `startapp` write them: a draft runs them, side by side, edits live."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import requests

from tests.support.editing import PATIENCE, Edited

MODELS = """
    from django.db import models

    class Book(models.Model):
        title = models.CharField(max_length=50)

        def __str__(self):
            return f"SAYS {self.title}"
"""
ADMIN = """
    from django.contrib import admin
    from books.models import Book

    admin.site.register(Book)
"""
VIEWS = """
    from django.http import JsonResponse
    from books.models import Book

    def books(request):
        return JsonResponse([str(each) for each in Book.objects.all()], safe=False)
"""
URLS = """
    from books import views
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("admin/", admin.site.urls), path("books", views.books)]
"""
FILL = """
    import django
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    call_command("makemigrations", "books", verbosity=0)
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("ada", "ada@shop.test", "word")
    from books.models import Book
    Book.objects.create(title="TITLE")
"""


def python(folder: Path, *arguments: str, **variables: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=folder, env=variables or None, check=True, timeout=PATIENCE)


def make_project(folder: Path, name: str) -> dict[str, str]:
    """Make a project with one application, which both projects call alike; return what its author adds."""
    folder.mkdir()
    python(folder, "-m", "django", "startproject", name, ".")
    python(folder, "manage.py", "startapp", "books")
    settings = folder / name / "settings.py"
    settings.write_text(settings.read_text().replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "books",'))
    files = {"books/models.py": MODELS, "books/admin.py": ADMIN, "books/views.py": VIEWS, f"{name}/urls.py": URLS}
    return {f"{folder.name}/{path}": text.replace("SAYS", name) for path, text in files.items()}


def fill(folder: Path, name: str, title: str) -> None:
    """Migrate the project's database, and add a book and somebody who may change it."""
    (folder / "fill.py").write_text("\n".join(line.strip() for line in FILL.replace("TITLE", title).splitlines()))
    python(folder, "fill.py", DJANGO_SETTINGS_MODULE=f"{name}.settings", PATH="")
    (folder / "fill.py").unlink()


def listed(session: requests.Session, edited: Edited, service: str) -> list[str]:
    """Return the books that the admin lists, after signing in."""
    base = f"http://{edited.supervisor.directory.address(service, 'http')}"
    page = session.get(f"{base}/admin/login/?next=/admin/books/book/", timeout=PATIENCE)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token is not None
    form = {"username": "ada", "password": "word", "csrfmiddlewaretoken": token[1], "next": "/admin/books/book/"}
    answer = session.post(f"{base}/admin/login/", form, headers={"Referer": base}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return re.findall(r'<th class="field-__str__"><a[^>]*>([^<]*)</a>', answer.text)


def test_two_projects_as_they_are_made_run_side_by_side(tmp_path: Path) -> None:
    """Models and application have the same names in both; the draft is `mesh init`'s."""
    projects = {"alpha": "library", "beta": "shop"}
    files: dict[str, str] = {}
    for folder, name in projects.items():
        files |= make_project(tmp_path / folder, name)
    for path, text in files.items():
        (tmp_path / path).write_text(textwrap.dedent(text))
    for folder, name in projects.items():
        fill(tmp_path / folder, name, f"{folder}'s")
    python(tmp_path, "-m", "mesh", "init")
    with Edited(tmp_path, {}, free=True) as edited:
        assert edited.supervisor.failures() == []
        for folder, name in projects.items():
            with requests.Session() as session:
                session.trust_env = False
                assert edited.get(folder, "/books") == f'["{name} {folder}\'s"]'
                assert listed(session, edited, folder) == [f"{name} {folder}&#x27;s"]
                style = edited.mesh.http(folder).get("/static/admin/css/base.css", timeout=PATIENCE)
                assert style.headers["content-type"] == "text/css"
        edited.reload("beta", {"beta/books/models.py": MODELS.replace("SAYS", "edited")})
        assert edited.get("beta", "/books") == '["edited beta\'s"]'
        assert edited.get("alpha", "/books") == '["library alpha\'s"]'

"""The Caddyfile of a Caddy image as the installed Caddy gets it, and the real one where it is installed."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest
import requests

from mesh.errors import MeshError
from mesh.hosting.images.caddy import caddy
from mesh.hosting.images.image import WantedImage
from mesh.hosting.images.installed import installed
from mesh.runtime.options import Options
from mesh.topology.model import Address
from tests.support.supervised import ECHO, supervised

OPTIONS = """\
{
\thttp_port 40080
\thttps_port 8443
\tdefault_bind 127.0.0.1
\tadmin off
\tskip_install_trust
\tlocal_certs
"""
SITES = """\
# the page and what is behind it
:80, localhost:9000 {
\t# reverse_proxy nothing:1 {
\treverse_proxy /users/* user_service:8000
\troot * /srv/page
\tfile_server
\theader {
\t\tX-Port ":80"
\t}
}
api.localhost {
\treverse_proxy {$UPSTREAM:user_service:8000}
}
"""


def written(folder: Path, *volumes: str) -> str:
    """Write the configuration, compare the command, and return the Caddyfile."""
    names = {("user_service", 8000): Address("127.0.0.1", 40001)}
    image = WantedImage("shop", "proxy", "caddy:2", [(40080, 80)], (), (), volumes, folder / "data", names)
    data = shlex.quote(str(folder / "data"))
    assert caddy(image, "/usr/bin/caddy").splitlines() == [
        "umask 077",
        *(f"{name}={data}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")),
        "export HOME XDG_DATA_HOME XDG_CONFIG_HOME",
        f"exec /usr/bin/caddy run --config {data}/Caddyfile --adapter caddyfile",
    ]
    assert stat.S_IMODE((folder / "data" / "Caddyfile").stat().st_mode) == 0o600
    return (folder / "data" / "Caddyfile").read_text()


def test_ports_names_and_files_are_those_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(SITES)
    mounts = (f"{tmp_path}/Caddyfile:/etc/caddy/Caddyfile:ro", f"{tmp_path}/files:/srv/page", "named:/data")
    here = SITES.replace(":80, localhost", ":40080, localhost").replace("/srv/page", f"{tmp_path}/files")
    assert written(tmp_path, *mounts) == OPTIONS + "}\n" + here.replace("user_service:8000", "127.0.0.1:40001")


def test_global_options_of_the_file_are_kept_beside_those_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(
        "# ours\n{\n\temail shop@shop.test\n\tadmin 0.0.0.0:2019\n}\n:81\nrespond hello\n"
    )
    found = written(tmp_path, f"{tmp_path}:/etc/caddy")
    assert found == f"# ours\n{OPTIONS}\temail shop@shop.test\n}}\n:8081\nrespond hello\n"


def test_what_would_listen_elsewhere_or_lead_back_is_replaced(tmp_path: Path) -> None:
    text = "{ # options\n\tadmin :2019 {\n\t\torigins x\n\t}\n}\n:80\nbind 0.0.0.0\nreverse_proxy 10.0.0.1:80\n"
    (tmp_path / "Caddyfile").write_text("\n" * 40 + text.replace("bind", "\tbind"))
    found = written(tmp_path, f"{tmp_path}:/etc/caddy")
    assert found == "\n" * 40 + f"{OPTIONS}}}\n:40080\nreverse_proxy 10.0.0.1:80\n"


def test_imports_and_places_with_spaces_lead_here(tmp_path: Path) -> None:
    folder = tmp_path / "the sites"
    folder.mkdir()
    (folder / "more.caddy").touch()
    (tmp_path / "Caddyfile").write_text("import sites/*.caddy\n:81 {\n\timport snippet\n\troot * /srv/page\n}\n")
    mounts = (f"{tmp_path}/Caddyfile:/etc/caddy/Caddyfile", f"{folder}:/etc/caddy/sites", f"{folder}:/srv")
    found = written(tmp_path, *mounts)
    sites = f'import "{folder}/*.caddy"\n:8081 {{\n\timport snippet\n\troot * "{folder}/page"\n}}\n'
    assert found == OPTIONS + "}\n" + sites


def test_the_file_that_the_arguments_name_is_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile.dev").write_text(":82\n")
    volumes = (f"{tmp_path}:/etc/caddy",)
    words = ("caddy", "run", "--config", "/etc/caddy/Caddyfile.dev")
    caddy(WantedImage("shop", "proxy", "caddy", (), words, (), volumes, tmp_path / "data"), "caddy")
    assert (tmp_path / "data" / "Caddyfile").read_text().endswith("}\n:8082\n")
    other = ("caddy", "reverse-proxy", "--to", "api:80")
    with pytest.raises(MeshError, match=r"^proxy: mesh runs Caddy by its Caddyfile, not by `caddy reverse-proxy"):
        caddy(WantedImage("shop", "proxy", "caddy", (), other, (), volumes, tmp_path / "data"), "caddy")


def test_without_a_file_it_is_that_of_the_image(tmp_path: Path) -> None:
    assert written(tmp_path) == OPTIONS + "}\n:40080 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n"


@pytest.mark.skipif(installed("caddy") is None, reason="Caddy is not installed")
def test_a_real_caddy_answers_for_the_services_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.hosting.images.containers.engine", lambda: None)
    toml = """
        [services.users]
        root = "users"
        http = {port = 0, app = "app:app", aliases = ["user_service:8000"]}

        [services.proxy]
        image = "caddy:2-alpine"
        tcp = {ports = [0, 0], aliases = ["proxy:80", "proxy:443"]}
        volumes = ["./Caddyfile:/etc/caddy/Caddyfile", "./page:/srv"]
        env = {UPSTREAM = "user_service:8000"}
        depends_on = ["users"]
    """
    sites = """\
        :80 {
            root * /srv
            handle_path /users/* {
                reverse_proxy {$UPSTREAM}
            }
            file_server
        }
        localhost {
            respond "over TLS"
        }
    """
    files = {"mesh.toml": toml, "users/app.py": ECHO, "Caddyfile": sites, "page/index.html": "the page"}
    kept = tmp_path / "kept"
    with supervised(tmp_path, files, Options(data=kept)) as project:
        plain, secure = project.supervisor.snapshot["proxy"].tcp
        answers = [requests.get(f"http://{plain}{path}", timeout=5).text for path in ("/", "/users/1")]
        assert answers == ["the page", "/1"]
        authority = kept / "proxy" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        answer = requests.get(f"https://localhost:{secure.port}/", timeout=5, verify=str(authority))
        assert answer.text == "over TLS"

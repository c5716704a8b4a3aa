"""The configuration of an nginx image as the installed nginx gets it, and the real one where it is installed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
import requests

from mesh.errors import MeshError
from mesh.hosting.images.image import WantedImage
from mesh.hosting.images.installed import installed
from mesh.hosting.images.nginx import nginx
from mesh.topology.model import Address
from tests.support.supervised import ECHO, supervised

SERVER = """\
upstream users { server user_service:8000; }
server {
  listen 80 default_server;
  listen [::]:80;
  listen 0.0.0.0:9000;
  server_name user_service;
  access_log /var/log/nginx/host.access.log;
  location /static/ { alias /srv/static/; }
  location /static-old/ { alias /srv/static-old/; }
  location / { proxy_pass http://USERS:80/; }
}
"""


def wanted(folder: Path, *volumes: str) -> WantedImage:
    names = {("user_service", 8000): Address("127.0.0.1", 40001), ("users", 80): Address("127.0.0.1", 40001)}
    return WantedImage("shop", "proxy", "nginx:1.27", [(40080, 80)], (), (), volumes, folder / "data", names)


def written(folder: Path, *volumes: str) -> tuple[str, str]:
    """Write the configuration; return the main file, and those of the servers in the order of their names."""
    line = nginx(wanted(folder, *volumes), "/usr/sbin/nginx")
    user = " user root;" if os.geteuid() == 0 else ""
    data = folder / "data"
    options = f"daemon off; pid {data}/pid; error_log stderr warn;{user}"
    assert line == f"exec /usr/sbin/nginx -e stderr -p {data} -c nginx.conf -g {shlex.quote(options)}"
    servers = "".join(file.read_text() for file in sorted((data / "conf.d").iterdir()))
    return (data / "nginx.conf").read_text(), servers


def test_ports_names_and_files_are_those_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "site.conf").write_text(SERVER)
    volumes = (f"{tmp_path}/site.conf:/etc/nginx/conf.d/default.conf:ro", f"{tmp_path}/files:/srv/static", "named:/x")
    main, servers = written(tmp_path, *volumes)
    assert servers.splitlines() == [
        "upstream users { server 127.0.0.1:40001; }",
        "server {",
        "  listen 127.0.0.1:40080 default_server;",
        "  ",
        "  listen 127.0.0.1:9000;",
        "  server_name user_service;",
        "  ",
        f"  location /static/ {{ alias {tmp_path}/files/; }}",
        "  location /static-old/ { alias /srv/static-old/; }",
        "  location / { proxy_pass http://127.0.0.1:40001/; }",
        "}",
    ]
    assert f"  include {tmp_path}/data/conf.d/*.conf;\n" in main
    assert f"http {{ access_log /dev/stdout; client_body_temp_path {tmp_path}/data/client_body;" in main


def test_a_mounted_main_file_and_folder_are_used_without_the_container_s_user(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("user nginx;\npid /run/nginx.pid;\nhttp {\n  server { listen 80; }\n}\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.conf").write_text("# a\n")
    (tmp_path / "more" / "README").write_text("# no configuration\n")
    mounts = (f"{tmp_path}/nginx.conf:/etc/nginx/nginx.conf", f"{tmp_path}/more:/etc/nginx/conf.d/")
    main, servers = written(tmp_path, *mounts)
    assert main.startswith("\n\nhttp { access_log /dev/stdout;")
    assert "  server { listen 127.0.0.1:40080; }\n" in main
    assert servers == "# a\n"
    (tmp_path / "more" / "a.conf").unlink()
    assert written(tmp_path, *mounts)[1] == ""  # nothing is left of the start before


def test_a_file_beside_the_main_one_may_be_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(
        "http {\n  ssl_certificate cert.pem;\n  ssl_certificate_key /etc/nginx/key.pem;\n}\n"
    )
    mounts = [f"{tmp_path}/{name}:/etc/nginx/{name}:ro" for name in ("nginx.conf", "cert.pem", "key.pem")]
    main, _ = written(tmp_path, *mounts)
    assert f"  ssl_certificate {tmp_path}/cert.pem;\n  ssl_certificate_key {tmp_path}/key.pem;\n" in main


def test_templates_are_for_the_image_s_scripts(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"^proxy: /etc/nginx/templates is for the scripts of the image; mount the"):
        nginx(wanted(tmp_path, f"{tmp_path}:/etc/nginx/templates"), "nginx")


@pytest.mark.skipif(installed("nginx") is None, reason="nginx is not installed")
def test_a_real_nginx_answers_for_the_services_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.hosting.images.containers.engine", lambda: None)
    toml = """
        [services.users]
        root = "users"
        http = {port = 0, app = "app:app", aliases = ["user_service:8000"]}

        [services.proxy]
        image = "nginx:alpine"
        tcp = {port = 0, aliases = ["proxy:80"]}
        volumes = ["./site.conf:/etc/nginx/conf.d/default.conf", "./page:/usr/share/nginx/html"]
        depends_on = ["users"]
    """
    site = """
        server {
          listen 80;
          location / { root /usr/share/nginx/html; }
          location /users/ { proxy_pass http://user_service:8000/; }
        }
    """
    files = {"mesh.toml": toml, "users/app.py": ECHO, "site.conf": site, "page/index.html": "the page"}
    with supervised(tmp_path, files) as project:
        address = project.supervisor.directory.addresses["proxy", "tcp"]
        answers = [requests.get(f"http://{address}{path}", timeout=5).text for path in ("/", "/users/1")]
        assert answers == ["the page", "/1"]

"""Worker: a script of its own, with the standard library's web server. mesh knows nothing of what it is."""

import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print(f"worker was asked for {self.path}", flush=True)
        body = {"/who": who, "/about": about, "/calls": calls}[self.path]().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *message):
        pass


def who():
    return "worker"


def about():
    return f"{os.environ['GREETING']} in {os.path.basename(os.getcwd())}"


def calls():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{os.environ['MESH_USERS_HTTP']}/who", timeout=10) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

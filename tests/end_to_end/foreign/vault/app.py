"""Vault: a plain WSGI application that patches everybody's socket module, and so needs a process of its own."""

import json
import os
import socket
import urllib.request

import models

socket.setdefaulttimeout(33)


def about():
    with open("data.txt") as file:
        return {
            "who": models.WHO,
            "greeting": os.environ["GREETING"],
            "data": file.read().strip(),
            "timeout": socket.getdefaulttimeout(),
        }


def calls():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open("http://catalog:8080/who") as answer:
        return {"urllib": answer.read().decode(), "pid": os.getpid()}


def app(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        os.abort()
    found = {"/who": lambda: models.WHO, "/about": about, "/calls": calls}[environ["PATH_INFO"]]()
    print(f"vault answers {environ['PATH_INFO']}")
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps(found).encode()]


if __name__ == "__main__":
    from wsgiref.simple_server import make_server

    make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()

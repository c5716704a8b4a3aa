"""The gateway as one would write it with Flask and requests: `python gateway.py PORT USER_SERVICE_URL`."""

from __future__ import annotations

import sys

import requests
from flask import Flask, Response, jsonify

app = Flask(__name__)
session = requests.Session()
users = sys.argv[2]


@app.get("/api/users/<int:user_id>")
def user(user_id: int) -> tuple[Response, int]:
    answer = session.get(f"{users}/users/{user_id}", timeout=10)
    return jsonify(answer.json()), answer.status_code


@app.get("/health")
def health() -> Response:
    return jsonify(status="SERVING")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)

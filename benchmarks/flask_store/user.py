"""The user service as one would write it with Flask: `python user.py PORT`."""

from __future__ import annotations

import sqlite3
import sys
import threading

from flask import Flask, Response, jsonify

app = Flask(__name__)
lock = threading.Lock()
database = sqlite3.connect(":memory:", check_same_thread=False)
database.row_factory = sqlite3.Row
database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL)")
database.execute("INSERT INTO users (name, email) VALUES ('Ada Lovelace', 'ada@example.com')")


@app.get("/users/<int:user_id>")
def user(user_id: int) -> Response | tuple[Response, int]:
    with lock:
        row = database.execute("SELECT id, name, email FROM users WHERE id = ?", (user_id,)).fetchone()
    if row is None:
        return jsonify(code=5, message=f"user {user_id} does not exist", details=[]), 404
    return jsonify(dict(row))


@app.get("/health")
def health() -> Response:
    return jsonify(status="SERVING")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)

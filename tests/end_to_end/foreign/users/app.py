"""Users: Flask, with SQLAlchemy, prometheus and a sync gRPC client."""

import importlib
import logging
import os
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import models
import requests
import service_pb2
import service_pb2_grpc
import sortedcontainers
from flask import Flask, jsonify
from prometheus_client import Counter, generate_latest

logging.basicConfig(level=logging.DEBUG, format="USERS %(message)s", stream=sys.stdout, force=True)
log = logging.getLogger("shop.views")

app = Flask(__name__)
seen = Counter("requests", "requests that users saw")
greeting = os.environ["GREETING"]


@app.get("/who")
def who():
    return models.WHO


@app.get("/about")
def about():
    import late  # as late as can be

    with open("data.txt") as file, ThreadPoolExecutor(1) as pool:
        return jsonify(
            who=models.WHO,
            item=sorted(models.Base.metadata.tables["items"].columns.keys()),
            message=[field.name for field in service_pb2.Item.DESCRIPTOR.fields],
            greeting=[greeting, os.getenv("GREETING"), pool.submit(os.getenv, "GREETING").result()],
            late=late.WHO,
            plugin=importlib.import_module("plugins.extra").WHO,
            shadow=sortedcontainers.WHO,
            data=file.read().strip(),
            log_level=logging.getLogger().level,
            log_handlers=len(logging.getLogger().handlers),
        )


@app.get("/calls")
def calls():
    with urllib.request.urlopen("http://catalog:8080/who", timeout=10) as answer:
        by_urllib = answer.read().decode()
    with requests.Session() as session:
        session.trust_env = False
        by_requests = session.get("http://events:8080/who", timeout=10).text
    with grpc.insecure_channel("user-service:50051") as channel:
        item = service_pb2_grpc.AccountsStub(channel).Get(service_pb2.Item(name="Ada"), timeout=10)
    return jsonify(urllib=by_urllib, requests=by_requests, grpc=[item.name, item.balance])


@app.get("/log")
def write_log():
    seen.inc()
    log.debug("was asked to log")
    print("printed by users")
    return ""


@app.get("/metrics")
def metrics():
    return generate_latest()


@app.get("/set/<value>")
def set_variable(value):
    os.environ["GREETING"] = value
    os.environ["ONLY_HERE"] = value
    return os.environ["GREETING"]


@app.get("/exit")
def leave():
    sys.exit(3)


@app.get("/exit-in-a-thread")
def leave_in_a_thread():
    thread = threading.Thread(target=sys.exit, args=(4,))
    thread.start()
    thread.join()
    return "the thread is gone"


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))

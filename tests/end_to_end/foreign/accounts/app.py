"""Accounts: a sync gRPC server, with generated code that is part of the repository."""

import logging
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import models
import service_pb2
import service_pb2_grpc
from google.protobuf import json_format, struct_pb2

logging.basicConfig(level=logging.WARNING, format="ACCOUNTS %(message)s", force=True)


class Accounts(service_pb2_grpc.AccountsServicer):
    def Get(self, request, context):
        if request.name == "exit":
            sys.exit(6)
        if request.name == "none":
            return None
        if request.name == "nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "nobody of that name")
        item = pickle.loads(pickle.dumps(models.Item(request.name, 7)))
        return json_format.ParseDict(vars(item), service_pb2.Item())

    def About(self, request, context):
        with open("data.txt") as file:
            about = {
                "who": models.WHO,
                "message": [field.name for field in service_pb2.Item.DESCRIPTOR.fields],
                "pickled": pickle.loads(pickle.dumps(service_pb2.Item(name="x"))).name,
                "greeting": os.environ["GREETING"],
                "data": file.read().strip(),
                "log_level": logging.getLogger().level,
            }
        answer = struct_pb2.Struct()
        answer.update(about)
        return answer


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_AccountsServicer_to_server(Accounts(), server)
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    server.start()
    server.wait_for_termination()

"""Stock: an async gRPC server that asks another one."""

import asyncio
import json
import os
import sys

import grpc
import models
import service_pb2
import service_pb2_grpc
from google.protobuf import json_format, struct_pb2, timestamp_pb2


class Stock(service_pb2_grpc.StockServicer):
    async def Get(self, request, context):
        if request.sku == "exit":
            sys.exit(7)
        item = models.Item(sku=request.sku)
        return service_pb2.Item(sku=item.sku, places=item.places, counted=timestamp_pb2.Timestamp(seconds=5))

    async def Watch(self, request, context):
        for number in range(3):
            yield service_pb2.Item(sku=f"{request.sku}{number}")

    async def About(self, request, context):
        with open("data.txt") as file:
            about = {
                "who": models.WHO,
                "message": [field.name for field in service_pb2.Item.DESCRIPTOR.fields],
                "greeting": [os.environ["GREETING"], await asyncio.to_thread(os.getenv, "GREETING")],
                "data": file.read().strip(),
            }
        return json_format.Parse(json.dumps(about), struct_pb2.Struct())


def add_to(server):
    service_pb2_grpc.add_StockServicer_to_server(Stock(), server)


async def main():
    server = grpc.aio.server()
    add_to(server)
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())

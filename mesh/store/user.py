"""The user service: proto/user.proto defines both its REST API and its gRPC methods."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from mesh import Code, StatusError
from mesh.store.checks import required_text
from mesh.store.database import Database
from mesh.store.feed import Feed
from mesh.store.once import Once, idempotency
from mesh.store.pb import user_pb2, user_pb2_grpc
from mesh.store.tables import Tables

_TABLES = Tables("""
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, email TEXT NOT NULL);
INSERT INTO users (name, email) VALUES ('Ada Lovelace', 'ada@example.com'), ('Grace Hopper', 'grace@example.com');
""")


class UserServicer(user_pb2_grpc.UserServiceServicer):
    def __init__(self) -> None:
        self._database = Database.of_current_service(_TABLES)
        self._created = Feed.of_current_service()

    def ListUsers(
        self, request: user_pb2.ListUsersRequest, context: grpc.ServicerContext
    ) -> user_pb2.ListUsersResponse:
        rows = self._database.rows("SELECT id, name, email FROM users ORDER BY id")
        return user_pb2.ListUsersResponse(users=[user_pb2.User(**dict(row)) for row in rows])

    def GetUser(self, request: user_pb2.GetUserRequest, context: grpc.ServicerContext) -> user_pb2.User:
        rows = self._database.rows("SELECT id, name, email FROM users WHERE id = ?", (request.id,))
        if not rows:
            raise StatusError(Code.NOT_FOUND, f"user {request.id} does not exist")
        return user_pb2.User(**dict(rows[0]))

    def CreateUser(self, request: user_pb2.CreateUserRequest, context: grpc.ServicerContext) -> user_pb2.User:
        return self._create(request, idempotency(request))

    def WatchUsers(self, request: user_pb2.WatchUsersRequest, context: grpc.ServicerContext) -> Iterator[user_pb2.User]:
        return self._created.follow(context)

    def ImportUsers(
        self, requests: Iterator[user_pb2.CreateUserRequest], context: grpc.ServicerContext
    ) -> Iterator[user_pb2.User]:
        for request in requests:
            yield self._create(request)

    def _create(self, request: user_pb2.CreateUserRequest, once: Once | None = None) -> user_pb2.User:
        name = required_text("name", request.name)
        email = required_text("email", request.email)
        if "@" not in email:
            raise StatusError(Code.INVALID_ARGUMENT, f"email: {email!r} has no @")
        row = self._database.insert("INSERT INTO users (name, email) VALUES (?, ?)", (name, email), once)
        user = user_pb2.User(id=row.id, name=name, email=email)
        if row.is_new:
            self._created.publish(user)
        return user

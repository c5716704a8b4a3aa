"""Servicers of library.proto, of plain functions and of coroutines, that say what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.protobuf import empty_pb2
from library_pb2 import Book, Count, File, Loan, Shelf, Titles
from library_pb2_grpc import LibraryServicer

from mesh.contract import Contract, ServicerBackend, Transcoder, collect_handlers

MISSING = 99


class Plain(LibraryServicer):
    def GetBook(self, request: Any, context: Any) -> Book:
        if request.id == MISSING:
            context.abort(grpc.StatusCode.NOT_FOUND, "book 99 does not exist")
        return Book(id=request.id, title="Emma", isbn=request.isbn)

    def ListTitles(self, request: Any, context: Any) -> Titles:
        return Titles(titles=["Emma", "Ulysses"])

    def CreateBook(self, request: Any, context: Any) -> Book:
        return Book(id=7, title=request.book.title)

    def UpdateBook(self, request: Any, context: Any) -> Any:
        return request.book

    def DeleteBook(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def ArchiveBook(self, request: Any, context: Any) -> Book:
        return Book(id=request.id, title="archived")

    def GetShelf(self, request: Any, context: Any) -> Shelf:
        return Shelf(name=request.name)

    def CreateShelf(self, request: Any, context: Any) -> Any:
        return request

    def ReadFile(self, request: Any, context: Any) -> File:
        return File(path=request.path)

    def Echo(self, request: Any, context: Any) -> Any:
        return request

    def CreateLoan(self, request: Any, context: Any) -> Loan:
        return Loan(reader=request.reader, reader_id=request.reader_id, title=request.title)

    def GetLoan(self, request: Any, context: Any) -> Any:
        return request

    def GetNote(self, request: Any, context: Any) -> Any:
        return request

    def Download(self, request: Any, context: Any) -> Any:
        return httpbody_pb2.HttpBody(content_type="text/plain", data=request.path.encode())

    def Upload(self, request: Any, context: Any) -> File:
        return File(path=f"{request.path}: {request.content.content_type}, {len(request.content.data)} bytes")

    def WatchBooks(self, request: Any, context: Any) -> Iterator[Any]:
        for number in range(1, request.count + 1):
            if request.fail_after and number > request.fail_after:
                context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")
            yield Book(id=number)

    def ImportBooks(self, requests: Any, context: Any) -> Iterator[Any]:
        for book in requests:
            yield Book(id=len(book.title), title=book.title)

    def MoveBooks(self, requests: Any, context: Any) -> Iterator[Any]:
        yield from requests

    def CountBooks(self, requests: Any, context: Any) -> Count:
        return Count(count=sum(1 for _ in requests))

    def DownloadParts(self, request: Any, context: Any) -> Iterator[Any]:
        yield httpbody_pb2.HttpBody(content_type="image/png", data=b"one")
        yield httpbody_pb2.HttpBody(content_type="image/png", data=b"two")


class Coroutines(LibraryServicer):
    async def GetBook(self, request: Any, context: Any) -> Book:
        if request.id == MISSING:
            await context.abort(grpc.StatusCode.NOT_FOUND, "book 99 does not exist")
        return Book(id=request.id, title="Emma", isbn=request.isbn)

    async def WatchBooks(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(1, request.count + 1):
            if request.fail_after and number > request.fail_after:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")
            yield Book(id=number)
        if not request.count:
            await asyncio.Event().wait()

    async def ImportBooks(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for book in requests:
            yield Book(id=len(book.title), title=book.title)

    async def CountBooks(self, requests: Any, context: Any) -> Count:
        count = 0
        async for _ in requests:
            count += 1
        return Count(count=count)


class Writing(LibraryServicer):
    """Answer in the older style of grpc.aio: `context.read` and `context.write`."""

    async def WatchBooks(self, request: Any, context: Any) -> None:
        for number in range(1, request.count + 1):
            if request.fail_after and number > request.fail_after:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")
            await context.write(Book(id=number))

    async def ImportBooks(self, requests: Any, context: Any) -> None:
        while (book := await context.read()) is not grpc.aio.EOF:
            await context.write(Book(id=len(book.title), title=book.title))


def contract() -> Contract:
    return collect_handlers([Plain]).contract()


def app(servicer: Any = Plain, **options: Any) -> Transcoder:
    handlers = collect_handlers([servicer])
    return Transcoder(handlers.contract(), ServicerBackend(handlers.by_path), **options)

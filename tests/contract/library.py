"""Servicers of library.proto, of plain functions and of coroutines, that say what they were asked."""

import asyncio

import grpc
from google.api import httpbody_pb2
from google.protobuf import empty_pb2
from library_pb2 import Book, Count, File, Loan, Shelf, Titles
from library_pb2_grpc import LibraryServicer

from mesh.contract import Contract, ServicerBackend, Transcoder, collect_handlers

MISSING = 99


class Plain(LibraryServicer):
    def GetBook(self, request, context):
        if request.id == MISSING:
            context.abort(grpc.StatusCode.NOT_FOUND, "book 99 does not exist")
        return Book(id=request.id, title="Emma", isbn=request.isbn)

    def ListTitles(self, request, context):
        return Titles(titles=["Emma", "Ulysses"])

    def CreateBook(self, request, context):
        return Book(id=7, title=request.book.title)

    def UpdateBook(self, request, context):
        return request.book

    def DeleteBook(self, request, context):
        return empty_pb2.Empty()

    def ArchiveBook(self, request, context):
        return Book(id=request.id, title="archived")

    def GetShelf(self, request, context):
        return Shelf(name=request.name)

    def CreateShelf(self, request, context):
        return request

    def ReadFile(self, request, context):
        return File(path=request.path)

    def Echo(self, request, context):
        return request

    def CreateLoan(self, request, context):
        return Loan(reader=request.reader, reader_id=request.reader_id, title=request.title)

    def GetLoan(self, request, context):
        return request

    def GetNote(self, request, context):
        return request

    def Download(self, request, context):
        return httpbody_pb2.HttpBody(content_type="text/plain", data=request.path.encode())

    def Upload(self, request, context):
        return File(path=f"{request.path}: {request.content.content_type}, {len(request.content.data)} bytes")

    def WatchBooks(self, request, context):
        for number in range(1, request.count + 1):
            if request.fail_after and number > request.fail_after:
                context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")
            yield Book(id=number)

    def ImportBooks(self, requests, context):
        for book in requests:
            yield Book(id=len(book.title), title=book.title)

    def MoveBooks(self, requests, context):
        yield from requests

    def CountBooks(self, requests, context):
        return Count(count=sum(1 for _ in requests))

    def DownloadParts(self, request, context):
        yield httpbody_pb2.HttpBody(content_type="image/png", data=b"one")
        yield httpbody_pb2.HttpBody(content_type="image/png", data=b"two")


class Coroutines(LibraryServicer):
    async def GetBook(self, request, context):
        if request.id == MISSING:
            await context.abort(grpc.StatusCode.NOT_FOUND, "book 99 does not exist")
        return Book(id=request.id, title="Emma", isbn=request.isbn)

    async def WatchBooks(self, request, context):
        for number in range(1, request.count + 1):
            if request.fail_after and number > request.fail_after:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")
            yield Book(id=number)
        if not request.count:
            await asyncio.Event().wait()

    async def ImportBooks(self, requests, context):
        async for book in requests:
            yield Book(id=len(book.title), title=book.title)

    async def CountBooks(self, requests, context):
        count = 0
        async for _ in requests:
            count += 1
        return Count(count=count)


class Writing(LibraryServicer):
    """In the older style of grpc.aio: `context.read` and `context.write`."""

    async def WatchBooks(self, request, context):
        for number in range(1, request.count + 1):
            if request.fail_after and number > request.fail_after:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the shelf broke")
            await context.write(Book(id=number))

    async def ImportBooks(self, requests, context):
        while (book := await context.read()) is not grpc.aio.EOF:
            await context.write(Book(id=len(book.title), title=book.title))


def contract() -> Contract:
    return collect_handlers([Plain]).contract()


def app(servicer=Plain, **options) -> Transcoder:
    handlers = collect_handlers([servicer])
    return Transcoder(handlers.contract(), ServicerBackend(handlers.by_path), **options)

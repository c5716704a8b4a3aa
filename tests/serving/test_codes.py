"""Each of the codes, raised by a handler, as its caller meets it on every way."""

from __future__ import annotations

from misbehaving import failure

from mesh.pytest_plugin import Mesh

STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


def test_every_code_is_told_alike_by_rest_by_the_gateway_by_hand_and_by_grpc(bad: Mesh) -> None:
    for number, (code, status) in zip([*range(1, 17)], STATUS.items(), strict=True):
        text = f'{code}: 100 % "so" ü'
        answers = [
            bad.http("user-service").post("/users", json={"name": code, "email": text}),
            bad.http("gateway").post("/api/grpc/users", json={"name": code, "email": text}),
            bad.http("web").post(f"/refuses/{code}", data=text.encode()),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()) == (status, {"code": number, "message": text, "details": []})
            assert answer.headers.get("retry-after") == ("1" if status in (429, 503) else None)
        stub = bad.stub("user-service")
        assert failure(lambda stub=stub, code=code, text=text: stub.CreateUser(name=code, email=text)) == (code, text)


def test_ok_is_no_error(bad: Mesh) -> None:
    assert bad.http("gateway").get("/api/grpc/users/100").status_code == 200

"""Errors as problem details (RFC 9457): a status, a title and one sentence; never a traceback."""

import logging
import sqlite3
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_log = logging.getLogger(__name__)
_MEDIA_TYPE = "application/problem+json"
NO_DISK = "the disk of the service is full; try again later"


class ProblemError(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP.
        detail: one sentence for the client.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer for a problem."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, media_type=_MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""

    @app.exception_handler(ProblemError)
    async def _ours(_: Request, error: ProblemError) -> JSONResponse:
        return problem(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def _of_http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _of_values(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, f"{' '.join(map(str, first['loc'][1:]))}: {first['msg']}")

    @app.exception_handler(sqlite3.Error)
    @app.exception_handler(OSError)
    async def _of_disk(_: Request, error: Exception) -> JSONResponse:
        _log.error("the disk failed: %s", type(error).__name__)
        return problem(507, NO_DISK)

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, error: Exception) -> JSONResponse:
        _log.error("an unexpected %s", type(error).__name__)
        return problem(500, "the service met an unexpected error; it is noted in its log")

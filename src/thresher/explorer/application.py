"""The explorer's web application: which address gives which answer, and what no page of another origin may do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from thresher.errors import DataError, SettingsError
from thresher.explorer.answers import Answers
from thresher.explorer.queries import PICTURE_BYTES

#: Pages of other origins cannot send this header without a CORS preflight, which is not answered.
OWN_HEADER = "x-thresher"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SCRIPTS = (
    "explorer",
    "ask",
    "cards",
    "controls",
    "details",
    "dots",
    "gallery",
    "history",
    "notice",
    "plane",
    "query",
    "texts",
    "wishes",
)
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_FILES = ("explorer.html", "explorer.css", *(f"{name}.js" for name in _SCRIPTS))
#: A request that is larger, or takes longer to arrive, is refused.
_LARGEST_BYTES, _LONGEST_SECONDS = 1_000_000, 30

Endpoint = Callable[[Request], Awaitable[Response]]


def application(answers: Answers, hosts: Sequence[str]) -> Starlette:
    """The application.

    Args:
        hosts: Names by which a browser may call it: a page elsewhere that points its own name here is refused.
    """
    asked: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "choose": answers.choose,
        "gallery": answers.gallery,
        "mark": answers.mark,
        "save": answers.save,
        "why": answers.why,
        "column": answers.column,
    }

    async def picture(request: Request) -> Response:
        row, side = (int(request.path_params[name]) for name in ("row", "side"))
        content = await run_in_threadpool(answers.pictures.picture, row, side)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def heat(request: Request) -> Response:
        content = await run_in_threadpool(
            answers.pictures.heat, int(request.path_params["row"]), request.path_params["by"]
        )
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def labels(request: Request) -> Response:
        content = await run_in_threadpool(answers.pictures.labels, int(request.path_params["row"]))
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def export(request: Request) -> Response:
        path, folder = await run_in_threadpool(answers.export, await _sent(request))
        return FileResponse(path, filename=path.name, background=BackgroundTask(shutil.rmtree, folder))

    async def picture_asked(request: Request) -> Response:
        content = await _content(request, PICTURE_BYTES)
        return JSONResponse(await run_in_threadpool(answers.queries.picture, content))

    async def points(request: Request) -> Response:
        return Response(await run_in_threadpool(answers.points), media_type="application/octet-stream")

    async def details(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(answers.details, int(request.path_params["row"])))

    async def summary(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(answers.summary))

    routes = [
        Route("/", _file("explorer.html")),
        *(Route(f"/{name}", _file(name)) for name in _FILES[1:]),
        Route("/api/summary", summary),
        Route("/api/points", points),
        Route("/api/details/{row:int}", details),
        Route("/picture/{row:int}/{side:int}", picture),
        Route("/heat/{row:int}/{by}", heat),
        Route("/labels/{row:int}", labels),
        Route("/api/export", export, methods=["POST"]),
        Route("/api/picture", picture_asked, methods=["POST"]),
        *(Route(f"/api/{name}", _answered(answer), methods=["POST"]) for name, answer in asked.items()),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        warming = asyncio.create_task(run_in_threadpool(answers.warm))
        yield
        await warming

    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        Middleware(BaseHTTPMiddleware, _guarded),
    ]
    handlers: Any = {SettingsError: _refused, DataError: _refused}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)


def _answered(answer: Callable[[Mapping[str, Any]], Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(answer, await _sent(request)))

    return endpoint


async def _sent(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(await _content(request, _LARGEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"request: not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise SettingsError("request: expected a JSON object.")
    return content


async def _content(request: Request, most_bytes: int) -> bytes:
    try:
        return await asyncio.wait_for(_body(request, most_bytes), _LONGEST_SECONDS)
    except TimeoutError as error:
        raise SettingsError(f"request: not complete after {_LONGEST_SECONDS} seconds.") from error


async def _body(request: Request, most_bytes: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise SettingsError(f"request: more than {most_bytes:,} bytes.")
        parts.append(part)
    return b"".join(parts)


def _file(name: str) -> Endpoint:
    content = (files("thresher.explorer") / "page" / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=_KINDS[name.rpartition(".")[2]], headers={"Cache-Control": "no-cache"})

    return endpoint


async def _guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    if request.method not in ("GET", "HEAD") and OWN_HEADER not in request.headers:
        response: Response = JSONResponse({"error": "only the explorer's own page may ask this."}, 403)
    else:
        response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404 if isinstance(error, DataError) else 400)

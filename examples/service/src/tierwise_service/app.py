"""The service over HTTP.

::

    POST   /federations                          start one: {"name": "digits", "rounds": 10, "min_devices": 9}
    GET    /federations                          the names of all
    GET    /federations/NAME                     where it stands
    GET    /federations/NAME/events              its events, as server-sent events, from the first one on
    GET    /federations/NAME/result              what its groups ended with
    GET    /federations/NAME/groups/GROUP/model  a group's target model: safetensors
    DELETE /federations/NAME                     stop it, and delete what is kept of it

An error is ``{"error": "…"}`` with a status of 4xx; or 503 when the broker cannot be reached, 500 when the disk fails.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.config import Config
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tierwise.core import TierwiseError
from tierwise.core.errors import ConfigurationError, PluginError, TransportError
from tierwise.runtime import FederationResult, MqttSettings
from tierwise_service.federations import Asked, Federations, Hosted, Settings


class Json(Response):
    """Anything that msgspec encodes."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Return the body."""
        return msgspec.json.encode(content)


async def start(request: Request) -> Response:
    asked = msgspec.json.decode(await request.body(), type=Asked)
    there = _federations(request).find(asked.name)
    if there is not None:
        raise HTTPException(409, f"there is a federation {asked.name!r} already: DELETE it, or choose another name")
    hosted = await _federations(request).start(asked)
    return Json(hosted.standing(), 201, {"Location": request.url_for("standing", name=asked.name).path})


async def names(request: Request) -> Response:
    return Json(_federations(request).names())


async def standing(request: Request) -> Response:
    return Json(_hosted(request).standing())


async def events(request: Request) -> Response:
    history = _hosted(request).history
    seen = request.headers.get("last-event-id", "-1")
    if not seen.removeprefix("-").isdecimal():
        raise HTTPException(400, f"Last-Event-ID is {seen!r}, and ids of events are numbers")
    begin = max(int(seen) + 1, 0)
    if history.ended and begin >= len(history):
        return Response(status_code=204)  # or a browser would connect again for ever
    return StreamingResponse(history.read(begin), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def result(request: Request) -> Response:
    ended = _result(request)
    return Json(
        {
            "failed": ended.failed,
            "groups": [
                {
                    "group": group.group,
                    "tier": group.tier.name,
                    "devices": group.devices,
                    "rounds": group.version,
                    "metrics": {name: metric.mean for name, metric in group.metrics.items() if metric.count},
                    "reason": group.reason,
                    "sha256": group.identity,
                    "model": request.url_for("model", name=request.path_params["name"], group=group.group).path,
                }
                for group in ended.groups
            ],
            "unplaced": ended.unplaced,
        }
    )


async def model(request: Request) -> Response:
    wanted = request.path_params["group"]
    found = {group.group: group for group in _result(request).groups}
    if wanted not in found:
        raise HTTPException(404, f"there is no target model of a group {wanted!r}; there are {sorted(found)}")
    sha256 = found[wanted].identity
    frame = await _hosted(request).store.get(sha256)  # the bytes that devices get, too
    return Response(
        bytes(frame), media_type="application/octet-stream", headers={"ETag": f'"{found[wanted].identity}"'}
    )


async def stop(request: Request) -> Response:
    await _federations(request).forget(_hosted(request))
    return Response(status_code=204)


def _federations(request: Request) -> Federations:
    federations: Federations = request.app.state.federations
    return federations


def _hosted(request: Request) -> Hosted:
    name = request.path_params["name"]
    hosted = _federations(request).find(name)
    if hosted is None:
        raise HTTPException(404, f"there is no federation {name!r}")
    return hosted


def _result(request: Request) -> FederationResult:
    hosted = _hosted(request)
    if hosted.failure is not None:
        raise HTTPException(409, f"the federation has failed: {hosted.failure}")
    if hosted.result is None:
        raise HTTPException(409, "the federation has not ended yet: its events tell when it has")
    return hosted.result


# -- errors


async def _told(_request: Request, error: Exception) -> Response:
    match error:
        case HTTPException():
            return Json({"error": error.detail}, error.status_code, error.headers)
        case msgspec.ValidationError():
            return Json({"error": str(error)}, 422)
        case msgspec.DecodeError():
            return Json({"error": f"the body is no JSON: {error}"}, 400)
        case ConfigurationError() | PluginError():
            return Json({"error": str(error)}, 422)
        case TransportError():
            return Json({"error": str(error)}, 503)
        case _:
            return Json({"error": str(error)}, 500)


# -- the application


def application(settings: Settings) -> Starlette:
    """Return the service; what lives long belongs to its lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        settings.folder.mkdir(parents=True, exist_ok=True)
        async with anyio.create_task_group() as tasks:
            federations = app.state.federations = Federations(settings, tasks)
            await federations.go_on()
            with calling_at_signals(federations.end_streams):
                yield
            tasks.cancel_scope.cancel()  # the stores are kept, and the next service goes on with them

    return Starlette(
        routes=[
            Route("/federations", start, methods=["POST"]),
            Route("/federations", names),
            Route("/federations/{name}", standing),
            Route("/federations/{name}", stop, methods=["DELETE"]),
            Route("/federations/{name}/events", events),
            Route("/federations/{name}/result", result),
            Route("/federations/{name}/groups/{group}/model", model),
        ],
        exception_handlers={HTTPException: _told, msgspec.DecodeError: _told, TierwiseError: _told},
        lifespan=lifespan,
    )


@contextmanager
def calling_at_signals(call: Callable[[], None]) -> Iterator[None]:
    """Call something at SIGINT and SIGTERM, before the server's own handlers.

    A server waits for open responses before it ends the lifespan, and an event stream would keep it waiting for as long
    as the federation runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not this server's business, as in tests
        return
    loop = asyncio.get_running_loop()

    def told(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def from_environment() -> Starlette:
    """Return the service as the environment describes it; the README lists the variables."""
    told = Config(env_prefix="TIERWISE_")
    password_file = told("PASSWORD_FILE", default=None)
    return application(
        Settings(
            mqtt=MqttSettings(
                broker=told("BROKER", default="mqtt://127.0.0.1"),
                username=told("USERNAME", default=None),
                password=Path(password_file).read_text().splitlines()[0] if password_file else None,
                ca_file=told("CA_FILE", default=None),
                patience_s=5,  # who asks for a federation waits no longer for the broker
            ),
            folder=Path(told("FOLDER", default="federations")),
            registries=told("REGISTRIES", cast=Path, default=None),
        )
    )

"""The server of the page: on this machine alone, one question to the model at a time.

Who has not the token in the address gets nothing; nor does a page of another origin, or one that
was led here under another name (DNS rebinding). The model works for one question after the other;
what a page no longer waits for is given up.
"""

import asyncio
import hmac
import json
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from headscribe.core.errors import HeadscribeError, RunError, UsageError
from headscribe.explore.answers import Explorer, shown
from headscribe.explore.page import page
from headscribe.explore.texts import StaleError, Texts

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording

Called: TypeAlias = "Callable[[Request], Awaitable[Response]]"

HOST = "127.0.0.1"

MAX_BODY = 1 << 20
"""Bytes of a question; a longer one is not read to its end."""

MAX_WAITING = 32
"""Questions that may wait for the model; others are told to come back."""

MAX_PAGES = 256
"""Pages whose newest question is remembered."""

MAX_SAVED = 64
"""Answers of a saved page."""

LEFT_ALONE = 20.0
"""Seconds after which a server ends whose last page was closed; a reload takes fewer."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
"""Of every response; what a page may load its own policy says."""


class Turns:
    """One question at a time; of one kind from one page the newest alone.

    Args:
        ending: whether nobody is to be answered any more.
    """

    def __init__(self, ending: Callable[[], bool] = lambda: False) -> None:
        self._lock = asyncio.Lock()
        self._newest: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._waiting = 0
        self._ending = ending

    async def take(
        self, page: str, kind: str, number: int, work: Callable[[Callable[[], None]], Any]
    ) -> Any:  # noqa: ANN401
        """Do `work` in a thread when its turn comes.

        Args:
            page: which page asks.
            kind: what it asks; a later question of the kind takes the place of an earlier one.
            number: which question of that page it is.
            work: called with what it has to call now and then, see `texts.Going`.

        Raises:
            StaleError: a later question came.
            BusyError: too many wait.
        """
        if self._waiting >= MAX_WAITING:
            raise BusyError
        key = page, kind
        self._newest[key] = max(number, self._newest.pop(key, number))
        while len(self._newest) > MAX_PAGES:
            self._newest.popitem(last=False)

        def going() -> None:
            if self._ending() or self._newest.get(key) != number:
                raise StaleError

        self._waiting += 1
        try:
            async with self._lock:
                going()
                return await asyncio.to_thread(work, going)
        finally:
            self._waiting -= 1


class BusyError(Exception):
    """More questions wait than are answered in a while."""


@dataclass
class Served:
    """A page that is open to this machine's browsers until it is closed.

    Attributes:
        address: where; the token in it lets in.
    """

    address: str
    _server: Any = field(repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def close(self) -> None:
        """End the server; its pages keep what they show."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repr_html_(self) -> str:
        return (
            f'<p><a href="{self.address}" target="_blank" rel="noopener noreferrer">Explore its '
            "heads</a> (on this machine; <code>.close()</code> ends it)</p>"
        )


def explore(
    model: "Model | Recording | Source",
    runs: Iterable[Any] = (),
    *,
    annotator: str | None = None,
    port: int = 0,
) -> Served:
    """Open a model on a page: type a text, see what every head does with it.

    >>> import headscribe as hs
    >>> with hs.explore("bundled:stories") as page:
    ...     page.address.startswith("http://127.0.0.1:")
    True

    Args:
        model: what `hs.load` gives or takes, or a recording, whose own texts can be looked at.
        runs: of this model: what a survey, `explain` or a fit says of its heads stands beside what
            they do on the text.
        annotator: finds the words of a text, as in `survey`.
        port: of this machine; 0: any that is free.

    Raises:
        UsageError: what `hs.load` raises, a run of another model, or the port is taken.
    """
    from threading import Thread

    bound, server, address = prepared(opened(model, runs, annotator), port)
    thread = Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    if not server.started:
        raise RunError("the server of the page did not start")
    return Served(address, server, thread)


def serve(explorer: Explorer, port: int, said: Callable[[str], None]) -> None:
    """Serve a page until Ctrl-C, or until its last page was closed a while ago.

    Args:
        explorer: what is shown.
        port: of this machine; 0: any that is free.
        said: called with the address.
    """
    bound, server, address = prepared(explorer, port, ends=True)
    said(address)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again once it has ended
        server.run(sockets=[bound])


def opened(
    model: "Model | Recording | Source", runs: Iterable[Any], annotator: str | None = None
) -> Explorer:
    """A model with its runs: the first that has cards, the first that has formulas.

    Raises:
        UsageError: a run of another model, or what opening either raises.
    """
    from headscribe.api.explain import Explained
    from headscribe.api.fit import Fit
    from headscribe.api.replace import opened_model
    from headscribe.api.views import View, open_run
    from headscribe.behaviours.card import told
    from headscribe.fitting.stored import stored_formulas
    from headscribe.models.recorded import Recording, is_recording

    if is_recording(model):
        model = Recording(model)
    source = model if isinstance(model, Recording) else opened_model(model)
    views = [run if isinstance(run, View) else open_run(run) for run in runs]
    for view in views:
        known = view.run.manifest.get("model") or {}
        if known.get("fingerprint") != source.fingerprint:
            raise UsageError(
                f"expected runs of {source.name}, got one of {known.get('name')} with other "
                f"weights in {view.folder}"
            )
    answered = next((one for one in views if isinstance(one, Explained) and one.answered), None)
    fitted = next((one for one in views if isinstance(one, Fit)), None)
    texts = Texts(source, annotator)
    if not texts.recorded:
        texts.read("The first text loads what annotates the next.")
    return Explorer(
        texts,
        {} if answered is None else told(answered.cards, () if fitted is None else fitted.heads),
        {} if fitted is None else stored_formulas(fitted.folder),
        tuple(one.run for one in (answered, fitted) if one is not None),
    )


def prepared(
    explorer: Explorer, port: int, *, ends: bool = False
) -> tuple[socket.socket, Any, str]:
    """A bound socket, a server for it, and the address of the page.

    Raises:
        UsageError: the port is taken.
    """
    from uvicorn import Config, Server

    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen(128)  # who comes at once waits until the server takes the socket
    except (OSError, OverflowError) as error:
        bound.close()
        raise UsageError(f"expected a free port of this machine, got {port} ({error})") from None
    number, token = bound.getsockname()[1], secrets.token_urlsafe(24)
    server: Server

    def end() -> None:
        server.should_exit = True

    server = Server(
        Config(
            application(
                explorer, token, number, lambda: server.should_exit, end if ends else None
            ),
            log_level="critical", access_log=False, server_header=False, ws="none",
            limit_concurrency=128, timeout_graceful_shutdown=1, timeout_keep_alive=30,
            h11_max_incomplete_event_size=1 << 16,
        )
    )  # fmt: skip
    return bound, server, f"http://{HOST}:{number}/{token}/"


def application(
    explorer: Explorer,
    token: str,
    port: int,
    ending: Callable[[], bool],
    end: Callable[[], None] | None = None,
) -> "Starlette":
    """What answers requests.

    Args:
        explorer: what is shown.
        token: the first part of every path.
        port: under which this machine's browsers come.
        ending: whether the server is about to end.
        end: called when the last page was closed a while ago.
    """
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    turns = Turns(ending)
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    here: OrderedDict[str, None] = OrderedDict()
    written = cache(lambda: page(explorer))

    async def whole(_: "Request") -> "Response":
        return HTMLResponse(await asyncio.to_thread(written))

    async def ask(request: "Request") -> "Response":
        body = await _body(request)
        name, number = request.path_params["name"], body.pop("number", 0)
        who = str(body.pop("page", ""))[:40]
        if not isinstance(number, int):
            raise UsageError("number: expected a whole number")

        def work(going: Callable[[], None]) -> Any:  # noqa: ANN401
            return shown(explorer.answer(name, body, going))

        # What is likely next, and how the text goes on, are asked at once.
        kind = f"{name} {bool(body.get('tokens'))} {bool(body.get('on_run'))}"
        return JSONResponse(await turns.take(who, kind, number, work))

    async def save(request: "Request") -> "Response":
        body = await _body(request)
        asked, at = body.get("asked"), body.get("at")
        if not (isinstance(asked, list) and len(asked) <= MAX_SAVED and isinstance(at, str)):
            raise UsageError(f"asked: expected at most {MAX_SAVED} questions, and their address")

        def work(going: Callable[[], None]) -> str:
            answers = {}
            for key in asked:
                going()
                name, question = _question(key)
                with suppress(UsageError):  # what could not be answered on the page either
                    answers[key] = explorer.answer(name, question, going)
            return page(explorer, shown(answers), at)

        return HTMLResponse(await turns.take("", f"save {secrets.token_hex(4)}", 0, work))

    async def pages(request: "Request") -> "Response":
        body = await _body(request)
        who = str(body.get("page", ""))[:40]
        if body.get("here"):
            here[who] = None
            if len(here) > MAX_PAGES:
                here.popitem(last=False)
        else:
            here.pop(who, None)
            if not here and end is not None:
                asyncio.get_running_loop().call_later(LEFT_ALONE, alone)
        return JSONResponse({})

    def alone() -> None:
        if not here and end is not None:
            end()

    async def guarded(request: "Request", call: Called) -> "Response":
        refused = _refused(request, token, hosts)
        if refused is not None:
            return PlainTextResponse(refused, 403)
        try:
            return await call(request)
        except _TooLargeError:
            return PlainTextResponse(f"expected at most {MAX_BODY} bytes", 413)
        except BusyError:
            return PlainTextResponse("too many questions wait: come back in a moment", 503)
        except StaleError:
            return JSONResponse({"stale": True})
        except HeadscribeError as error:
            return JSONResponse({"error": shown(str(error))})

    def route(path: str, call: Called, method: str) -> Route:
        async def endpoint(request: "Request") -> "Response":
            response = await guarded(request, call)
            response.headers.update(_HEADERS)
            return response

        return Route(f"/{{token}}/{path}", endpoint, methods=[method])

    return Starlette(
        routes=[
            route("", whole, "GET"), route("pages", pages, "POST"),
            route("ask/{name}", ask, "POST"), route("save", save, "POST"),
        ],
    )  # fmt: skip


class _TooLargeError(Exception):
    """A body of more bytes than are read."""


def _refused(request: "Request", token: str, hosts: set[str]) -> str | None:
    """Why a request is not answered; None: it is."""
    headers = request.headers
    host = headers.get("host", "")
    if host not in hosts:
        return "this server answers under its own name alone"
    if not hmac.compare_digest(request.path_params["token"].encode(), token.encode()):
        return "the address lacks its token: take it from where headscribe explore printed it"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "a page of another origin may not ask"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "a page of another site may not ask"
    if request.method == "POST" and (
        origin is None or headers.get("content-type") != "application/json"
    ):
        return "expected a question of the page itself, as JSON"
    return None


async def _body(request: "Request") -> dict[str, Any]:
    """The fields of a question; never more than `MAX_BODY` bytes are held."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY:
            raise _TooLargeError
    return _fields(bytes(content))


def _fields(content: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected a question as JSON ({error})") from None
    if not isinstance(found, dict):
        raise UsageError("expected a question as a JSON object")
    return found


def _question(key: object) -> tuple[str, dict[str, Any]]:
    """The name and the fields of a question, from what a page remembers it by."""
    if not isinstance(key, str):
        raise UsageError("asked: expected questions as text")
    name, _, fields = key.partition(" ")
    return name, _fields(fields)

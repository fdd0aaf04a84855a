"""The page's server: what it answers to whom. It reads files of the folder, and writes none.

A request is answered if it is addressed to this machine by a name that only means this machine (another name may be
a stranger's site whose address was changed to ours), and if its path begins with the token. Only GET is answered.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from popbench.errors import PopbenchError
from popbench.files import read_json
from popbench.records import JSON
from popbench.report.gallery import texts_of
from popbench.report.html import unturned
from popbench.report.page import board_page
from popbench.view.clips import Posters
from popbench.view.find import file_of
from popbench.view.index import FILTERS, ORDERS, Query
from popbench.view.page import ASSETS, PAGE
from popbench.view.runs import Runs, Samples, shown
from popbench.view.watch import Watch

HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a request may address the server; the port may be another one, of a tunnel from another machine."""
MOST_LISTENERS = 64
MOST_ROWS = 200
_FIRST_ROWS = 1.0
"""Seconds that a list waits for the first samples of an index that is only being made."""
_TEXTS = 200_000
"""Characters of one text of a sample that are sent."""
_MEDIA = "default-src 'none'; frame-ancestors 'none'"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class View:
    """The handlers of requests."""

    def __init__(self, runs: Runs, watch: Watch) -> None:
        self.runs, self.watch, self.posters = runs, watch, Posters()
        self._drawing = ThreadPoolExecutor(2, "poster")

    def close(self) -> None:
        """End all threads, and close all indexes."""
        self._drawing.shutdown(wait=True, cancel_futures=True)
        self.runs.close()

    async def page(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        """Answer the page, which is the same for every folder."""
        return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def slash(self, request: web.Request) -> web.Response:
        """Send an address that was copied without its last slash to the page."""
        raise web.HTTPFound(f"/{request.match_info['token']}/")

    async def asset(self, request: web.Request) -> web.Response:
        """Answer a script or a style of the page."""
        name = request.match_info["name"]
        if name not in ASSETS:
            raise web.HTTPNotFound
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return web.Response(text=ASSETS[name], content_type=kind)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Tell what is new of a run, or of all runs, as server-sent events, until the page is closed."""
        name = request.query.get("run", "")
        if self.watch.listeners >= MOST_LISTENERS:
            raise web.HTTPServiceUnavailable(text="too many pages are open")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        listening = self.watch.listen(name)
        try:
            await response.prepare(request)
            async for known in listening:
                text = ": nothing new\n\n" if known is None else f"data: {_dumps(known)}\n\n"
                await response.write(text.encode("ascii"))
        except ConnectionResetError:  # the page was closed
            pass
        finally:
            await listening.aclose()  # type: ignore[attr-defined]
        return response

    async def samples(self, request: web.Request) -> web.Response:
        """Answer one page of a run's samples, by filters and order, with the values that can be filtered by."""
        samples = await self._samples(request)
        given = request.query
        order = given.get("order", "oldest")
        if order not in ORDERS:
            raise web.HTTPBadRequest(text=f"order: expected one of {', '.join(ORDERS)}")
        query = Query(
            where={name: given[name] for name in FILTERS if given.get(name)},
            words=tuple(given.get("text", "")[:200].split()),
            order=order,
            offset=_number(given, "offset", 0, 2**31),
            limit=_number(given, "limit", 24, MOST_ROWS),
        )

        def read() -> JSON:
            samples.ready.wait(_FIRST_ROWS)
            number, rows = samples.index.select(query)
            return {"matched": number, "rows": [shown(row) for row in rows], "facets": samples.index.facets()}

        return _json(await asyncio.to_thread(read))

    async def prompt(self, request: web.Request) -> web.Response:
        """Answer what all systems made of one prompt."""
        samples = await self._samples(request)
        task, prompt, repeat = _place(request)
        rows = await asyncio.to_thread(samples.index.of_prompt, task, prompt, repeat)
        return _json({"rows": [shown(row) for row in rows]})

    async def sample(self, request: web.Request) -> web.Response:
        """Answer all that is known of one sample."""
        samples = await self._samples(request)
        path = self.runs.path(request.query["run"])
        place = (*_place(request), request.query.get("system", ""))

        def read() -> JSON:
            row = samples.index.get(*place)
            if row is None or path is None:
                return None
            whole = samples.sample(row)
            if isinstance(whole, str):
                return {**shown(row), "texts": {"error": whole}, "scores": {}}
            texts = _cut(texts_of(whole, path)) | {"shown": {}}
            return {**shown(row), "prompt": _cut(whole.prompt), "texts": texts, "scores": dict(whole.scores)}

        found = await asyncio.to_thread(read)
        if found is None:
            text = "there is no such sample" + ("" if samples.complete else " yet: the index is being made")
            raise web.HTTPNotFound(text=text)
        return _json(found)

    async def clip(self, request: web.Request) -> web.StreamResponse:
        """Answer a clip of a run, or the part of it that a player asks for."""
        return web.FileResponse(
            await asyncio.to_thread(self._clip, request),
            headers={"Content-Type": "video/mp4", "Content-Security-Policy": _MEDIA, "Cache-Control": "no-cache"},
        )

    async def poster(self, request: web.Request) -> web.Response:
        """Answer a still picture of a clip."""
        clip = await asyncio.to_thread(self._clip, request)
        picture = await asyncio.get_running_loop().run_in_executor(self._drawing, self.posters.get, clip)
        if picture is None:
            raise web.HTTPNotFound(text="the clip cannot be decoded")
        headers = {"Cache-Control": "private, max-age=3600", "Content-Security-Policy": _MEDIA}
        return web.Response(body=picture, content_type="image/jpeg", headers=headers)

    async def board(self, request: web.Request) -> web.Response:
        """Answer the page of a board, or of a run's results: made anew, since a stranger may have written a page."""
        name, run = request.query.get("board"), request.query.get("run")
        found = await asyncio.to_thread(self.runs.found)
        folder = found.boards.get(name) if name is not None else found.runs.get(run or "")
        file = None if folder is None else file_of(folder, "board.json" if name is not None else "results.json")
        if folder is None or file is None:
            raise web.HTTPNotFound(text="there are no such results")

        def make() -> str:
            title = folder.resolve().name
            try:
                return board_page(read_json(file), title)
            except (OSError, ValueError, RecursionError, AttributeError) as error:
                raise PopbenchError("results cannot be read") from error

        try:
            return web.Response(
                text=await asyncio.to_thread(make),
                content_type="text/html",
                headers={"Content-Security-Policy": "frame-ancestors 'none'"},
            )
        except PopbenchError as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error

    async def _samples(self, request: web.Request) -> Samples:
        name = request.query.get("run", "")
        samples = await asyncio.to_thread(self.runs.samples, name)
        if samples is None:
            raise _no_run(name)
        return samples

    def _clip(self, request: web.Request) -> Path:
        run = self.runs.path(request.query.get("run", ""))
        name = request.match_info["name"]
        file = file_of(run, "videos", name) if run is not None and name.endswith(".mp4") else None
        if file is None:
            raise web.HTTPNotFound(text="there is no such clip")
        return file


def make_app(runs: Runs, token: str) -> web.Application:
    """Return the application. Its addresses are `/TOKEN/` and below."""
    watch = Watch(runs)
    view = View(runs, watch)
    app = web.Application(middlewares=[_guard(token)])
    app.router.add_get("/{token}", view.slash)
    app.router.add_get("/{token}/", view.page)
    app.router.add_get("/{token}/static/{name}", view.asset)
    app.router.add_get("/{token}/clips/{name}", view.clip)
    app.router.add_get("/{token}/posters/{name}", view.poster)
    app.router.add_get("/{token}/events", view.events, allow_head=False)
    for name in ("samples", "prompt", "sample", "board"):
        app.router.add_get(f"/{{token}}/{name}", getattr(view, name))

    async def begin(_: web.Application) -> None:
        watch.start()

    async def end(_: web.Application) -> None:
        await watch.close()

    async def close(_: web.Application) -> None:
        await asyncio.to_thread(view.close)

    app.on_startup.append(begin)
    app.on_shutdown.append(end)
    app.on_cleanup.append(close)
    return app


def _guard(token: str) -> Any:
    """Return what every request passes first."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check(request, token)
            response = await handler(request)
        except sqlite3.Error:  # its index was closed meanwhile, since the run changed
            response = web.Response(status=503, text="the run changes: ask again")
        except web.HTTPException as error:
            error.headers.update(_HEADERS | {"Cache-Control": "no-store"})
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guard


def _check(request: web.Request, token: str) -> None:
    host = re.sub(r":\d+\Z", "", request.headers.get("Host", "")).lower()
    if host not in HOSTS:
        raise web.HTTPMisdirectedRequest(text="this page is for this machine: open the address that popbench printed")
    given = request.rel_url.raw_path.split("/")[1] if request.rel_url.raw_path.startswith("/") else ""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("ascii")):
        raise web.HTTPForbidden(text="the token is missing or wrong: open the address that popbench printed")
    if request.method not in ("GET", "HEAD"):
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"], text="nothing can be changed here")


def _no_run(name: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"there is no run {name[:200]!r} here")


def _number(given: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = given.get(name, str(usual))
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > most:
        raise web.HTTPBadRequest(text=f"{name}: expected a whole number of at most {most}")
    return int(text)


def _place(request: web.Request) -> tuple[str, str, int]:
    given = request.query
    return given.get("task", ""), given.get("prompt", ""), _number(given, "repeat", 0, 2**31)


def _cut(value: JSON) -> JSON:
    """Return texts as they are shown, each of a length that a page can hold."""
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(item) for item in value]
    if isinstance(value, str) and len(value) > _TEXTS:
        value = f"{value[:_TEXTS]}… ({len(value):,} characters)"
    return unturned(value)


def _dumps(value: JSON) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _json(value: JSON) -> web.Response:
    return web.Response(text=_dumps(value), content_type="application/json")

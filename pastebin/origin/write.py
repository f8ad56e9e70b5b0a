"""The role `write`: creating, changing, ending and revealing pastes, from programs and from terminals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import hdrs, web

from pastebin.http import asking, bodies, caching, payloads, streaming, views
from pastebin.http.addresses import Addresses
from pastebin.http.negotiation import prefers_html, prefers_json
from pastebin.http.offer import Offer
from pastebin.http.payloads import RevealPaste, RevisePaste
from pastebin.http.short import Said, Short, Tell
from pastebin.models import Published
from pastebin.origin import keeping, live, privatebin
from pastebin.origin.amending import AmendHandlers
from pastebin.origin.complaints import ComplaintHandlers
from pastebin.origin.content import ContentReader
from pastebin.origin.creating import CreateHandlers
from pastebin.origin.edits import Edits
from pastebin.origin.forms import FormHandlers
from pastebin.origin.look import LookHandlers
from pastebin.origin.managing import Managing
from pastebin.origin.mine import MineHandlers
from pastebin.origin.paste_page import PastePage
from pastebin.origin.privatebin import PrivateBinWrites
from pastebin.origin.raw import headers_of
from pastebin.origin.read import JSON_HEADERS, json_answer
from pastebin.origin.receipts import if_match, purge_headers
from pastebin.positions import Position
from pastebin.resources import Resources
from pastebin.services.changes import Telling
from pastebin.services.judging import REVEAL_BYTES
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading

_REVEAL_BODY_BYTES = 64 * 1024


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Accept pastes and changes to them; sweep what has ended."""
    config = resources.config
    idle = config.doors.body_idle_seconds
    content = ContentReader(config.limits, idle)
    page = PastePage.of(resources)
    forms = FormHandlers(resources, page)
    creating = CreateHandlers.of(resources, content)
    foreign = PrivateBinWrites(resources.publishing, content)
    handlers = WriteHandlers(
        resources.publishing, resources.reading, content, creating, resources.addresses, idle, foreign
    )
    async with AsyncExitStack() as loops:
        await loops.enter_async_context(resources.loops.running(resources.sweeping.run(), name="sweeping"))
        if config.visits.count and (config.visits.url or "analytics" in config.node.roles):
            telling = Telling(resources.database, resources.statistics, config.visits, resources.metrics)
            await loops.enter_async_context(resources.loops.running(telling.run(), name="changes"))
        writing = await loops.enter_async_context(live.writing(resources))
        yield Offer(
            [
                *writing,
                web.post("/", handlers.drop, short=handlers.drop_short),
                web.put("/", handlers.drop),
                *foreign.routes(),
                web.put("/{name:[^/]+}", handlers.drop),
                web.post(keeping.PATH, creating.create),
                *MineHandlers.of(resources).forms(),
                web.post("/api/v1/pastes", handlers.create, short=handlers.create_short),
                web.patch("/api/v1/pastes/{slug}", handlers.revise),
                web.delete("/api/v1/pastes/{slug}", handlers.delete),
                web.post("/api/v1/pastes/{slug}/reveal", handlers.reveal),
                *forms.routes(),
                *LookHandlers.of(resources).changing(),
                *AmendHandlers.of(resources).routes(),
                *Edits(resources).routes(),
                *Managing(resources).routes(),
                *ComplaintHandlers(resources.moderating, idle).routes(),
            ]
        )


class WriteHandlers:
    """Requests that change something."""

    def __init__(
        self,
        publishing: Publishing,
        reading: Reading,
        content: ContentReader,
        creating: CreateHandlers,
        addresses: Addresses,
        idle_seconds: float,
        foreign: PrivateBinWrites,
    ) -> None:
        self._publishing = publishing
        self._reading = reading
        self._content = content
        self._creating = creating
        self._foreign = foreign
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    async def create(self, request: web.Request) -> web.Response:
        base = self._addresses.base(request)
        async with self._publishing.intake() as taken:
            options = await self._content.read(request, taken)
            published = await self._publishing.create(taken, options)
        return created(published, base)

    async def drop(self, request: web.Request) -> web.StreamResponse:
        """The same from a terminal: the answer is the address and a newline. A browser's form lands here as well."""
        if request.path != "/":
            return await self._dropped(request)
        if privatebin.is_spoken(request):
            return await self._foreign.answer(request)
        if request.content_type != "application/json":
            return await self._dropped(request)
        async with self._content.whole(request) as body:
            is_foreign = await privatebin.is_document(body)
            return await (self._foreign.answer(request) if is_foreign else self._dropped(request))

    async def _dropped(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST" and prefers_html(request.headers.get("Accept")):
            return await self._creating.create(request)
        base = self._addresses.base(request)
        async with self._publishing.intake() as taken:
            options = await self._content.read(request, taken, name=request.match_info.get("name"))
            published = await self._publishing.create(taken, options)
        answer = _created if prefers_json(request.headers.get("Accept")) else _dropped
        return _response(answer(published, base))

    def create_short(self, request: Short, tell: Tell) -> Callable[[], None] | None:
        return self._short(request, _created, tell)

    def drop_short(self, request: Short, tell: Tell) -> Callable[[], None] | None:
        if prefers_html(request.accept):
            return None
        return self._short(request, _created if prefers_json(request.accept) else _dropped, tell)

    def _short(
        self, request: Short, answer: Callable[[Published, str, Position | None], Said], tell: Tell
    ) -> Callable[[], None] | None:
        """Make the paste of a small request. Nothing of it is in the blob store, so nothing is to be given up."""
        base = self._addresses.seen("http", request.host)
        taken = self._publishing.intake()
        options = self._content.read_short(request, taken)
        if options is None:
            return None

        def landed(outcome: Published | Exception, position: Position | None) -> None:
            if isinstance(outcome, Published):
                tell(answer(outcome, base, position))
            else:
                tell(outcome)

        return self._publishing.begin(taken, options, landed)

    async def revise(self, request: web.Request) -> web.Response:
        base = self._addresses.base(request)
        token = asking.bearer(request)
        slug = request.match_info["slug"]
        await self._publishing.authorise(slug, token)  # before a large body is taken from a stranger
        async with self._publishing.intake() as taken:
            options = await self._content.read(request, taken, struct=RevisePaste)
            paste, purge = await self._publishing.revise(slug, token, taken, options, if_match(request))
        return json_answer(
            views.paste_view(paste, base), headers={"ETag": f'"{paste.revision}"', **purge_headers(purge)}
        )

    async def delete(self, request: web.Request) -> web.Response:
        purge = await self._publishing.delete(request.match_info["slug"], asking.bearer(request))
        return web.Response(status=204, headers={**purge_headers(purge), "Cache-Control": "no-store"})

    async def reveal(self, request: web.Request) -> web.StreamResponse:
        """JSON with the content inside, or the bytes themselves of a single file that was asked for as bytes.

        A single file that is too large for JSON always comes as bytes: the read is used up, so it has to come.
        """
        body = await bodies.whole(request, _REVEAL_BODY_BYTES, self._idle_seconds)
        payload = payloads.read(RevealPaste, payloads.parse_json(body) if body else {})
        base = self._addresses.base(request)
        slug, token = request.match_info["slug"], asking.bearer(request)
        as_bytes = not prefers_json(request.headers.get("Accept"))
        paste = await self._reading.reveal(slug, payload.password, token)
        if len(paste.files) == 1 and (as_bytes or paste.size > REVEAL_BYTES):
            file = paste.files[0]
            response = web.StreamResponse(headers={**headers_of(file, download=True), **caching.of_secret(paste)})
            response.content_length = file.size
            return await streaming.send(request, response, self._reading.stream(file), self._idle_seconds)
        contents = {file.position: await self._reading.content(file) for file in paste.files}
        return json_answer(views.paste_view(paste, base, contents), headers=caching.of_secret(paste))


def created(published: Published, base: str) -> web.Response:
    """201 with everything the owner needs to know, the token for the only time."""
    return _response(_created(published, base))


def _created(published: Published, base: str, seen: Position | None = None) -> Said:
    view = views.created_view(published, base)
    headers = {**JSON_HEADERS, **caching.secret(), **_created_headers(published, view["url"])}
    return Said(201, headers, views.encode(view), seen)


def _dropped(published: Published, base: str, seen: Position | None = None) -> Said:
    url = f"{base}/{published.paste.slug}"
    headers = {**_created_headers(published, url), hdrs.CONTENT_TYPE: "text/plain; charset=utf-8"}
    return Said(201, headers, f"{url}\n".encode(), seen)


def _response(said: Said) -> web.Response:
    return web.Response(status=said.status, headers=said.headers, body=said.body)


def _created_headers(published: Published, url: str) -> dict[str, str]:
    headers = {"Location": url, "Pastebin-Token": published.token, "Cache-Control": "no-store"}
    if published.paste.expires_at is not None:
        headers["Pastebin-Expires"] = published.paste.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return headers | (purge_headers(published.purge) if published.purge is not None else {})

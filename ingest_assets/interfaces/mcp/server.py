"""The protocol, through the official SDK: a server on stdio and as an ASGI application.

It uses the SDK's low-level server, so that every call reaches us, and the log, exactly as it was made. The
SDK is slow to import, and is therefore imported inside functions.

What belongs here: everything that the SDK needs. What does not: what a call does (`calls`).
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from ingest_assets import __version__
from ingest_assets.interfaces.mcp.calls import Answer, Call, Tool, answer, withheld
from ingest_assets.interfaces.mcp.messages import MessageError, require_message
from ingest_assets.interfaces.mcp.refusals import NOBODY, RefusedRequests
from ingest_assets.interfaces.mcp.tools import instructions, tools_of
from ingest_assets.interfaces.mcp.workbench_pool import Borrow, WorkbenchPool
from ingest_assets.interfaces.tokens import SCOPES, Caller
from ingest_assets.settings import Settings

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server import Server

NAME = "ingest-assets"
# Maximum size of a request in bytes. Every valid call fits: the longest note takes 0.15 MB if each of its
# characters is written as \uXXXX\uXXXX, a search with as many filters as possible 0.4 MB. JSON is parsed on
# the event loop, and whatever is sent, that blocks it for a fifth of a second at most.
MAX_BODY = 1 << 20
UNAUTHORIZED = "A bearer token is required."
NO_SCOPE = "The token has no scope that any tool needs."
NOT_A_MESSAGE = "The body is not one JSON-RPC message."
POST_ONLY = "Only POST is supported: this server has no sessions, and opens no streams of its own."
# Why the SDK refuses a request, by status. The HTTP service refuses on its own (`http.admission`).
REFUSED_BY_SDK = {
    421: "The name in the Host header is not this server's.",
    403: "The request comes from another site's page.",
    413: f"The request is too large: at most {MAX_BODY} bytes.",
}
MAX_THREADS = 8  # for concurrent calls; further calls wait. Each call also needs a workbench

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
# The caller of an HTTP request, by its ASGI scope; None when it is unknown.
IdentityOf = Callable[[Scope], Caller | None]

_CALLER = "ingest_assets.caller"  # key in the ASGI scope of a request


def serve_stdio(settings: Settings) -> None:
    """Serve one client on standard input and output until it disconnects. Logs go to standard error."""
    from mcp.server.stdio import stdio_server

    caller = Caller(stdio_user(settings), frozenset(SCOPES))
    pool = WorkbenchPool(settings)

    async def serve() -> None:
        server = _server(_offered(pool.borrow), pool.borrow, "stdio", lambda _request: caller)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    try:
        # Opened before the client is served, so that a wrong setting ends the process with a clear message.
        with pool.borrow() as bench:
            bench.ledger  # noqa: B018 - opening it is what counts
        anyio.run(serve)
    finally:
        pool.close()


def mcp_app(
    borrow: Borrow,
    identity_of: IdentityOf,
    *,
    behind_tokens: bool = False,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
) -> McpApp:
    """Streamable HTTP as an ASGI app, for a route of any application: `Route("/mcp", endpoint=mcp_app(…))`.

    It is stateless: each request is complete and carries its own token, so no session can be stolen, expire,
    or get lost in a restart. The server sends nothing unasked. A GET, by which a client would
    listen for that, and a DELETE, by which it would end a session, get 405, as the protocol specifies.

    A request whose caller `identity_of` does not know gets 401 and is logged. An application that mounts this
    one and refuses requests itself calls `refused`. The lifespan logs outstanding refusals when it ends.

    The SDK protects against DNS rebinding: the Host header must name loopback or one of `allowed_hosts`
    ("index.example.com", with ":*" for any port), and likewise for Origin and `allowed_origins`. With
    `behind_tokens`, when every request needs a token, this is off: a page that rebinds a name has no token.
    """
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    loopback = ("127.0.0.1", "localhost", "[::1]")
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=not behind_tokens,
        allowed_hosts=[*loopback, *(f"{host}:*" for host in loopback), *allowed_hosts],
        allowed_origins=[
            *(f"http://{host}" for host in loopback),
            *(f"http://{host}:*" for host in loopback),
            *allowed_origins,
        ],
    )
    offered = _offered(borrow)
    server = _server(offered, borrow, "http", lambda request: request.scope[_CALLER])
    scopes = {tool.scope for tool in offered.tools.values()}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"MCP needs HTTP, not {scope['type']}.")
        caller = identity_of(scope)
        if caller is None:
            await mounted.refused(scope, UNAUTHORIZED)
            await _refuse(send, 401, (b"www-authenticate", b"Bearer"), UNAUTHORIZED)
            return
        if not scopes & caller.scopes:
            await mounted.refused(scope, NO_SCOPE)
            await _refuse(send, 403, (b"www-authenticate", b'Bearer error="insufficient_scope"'), NO_SCOPE)
            return
        if scope["method"] != "POST":
            await _refuse(send, 405, (b"allow", b"POST"), POST_ONLY)
            return

        body, receive = await _read(receive)
        if body is not None:
            try:
                require_message(body)
            except MessageError as error:
                await mounted.refused(scope, NOT_A_MESSAGE)
                await _respond(send, 400, error.response())
                return

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and (why := REFUSED_BY_SDK.get(message["status"])):
                await mounted.refused(scope, why)
            await send(message)

        # A manager can run only once. Creating one takes less than a tenth of a millisecond.
        manager = StreamableHTTPSessionManager(
            app=server,
            json_response=True,
            stateless=True,
            security_settings=security,
            max_request_body_size=MAX_BODY,
        )
        async with manager.run():
            await manager.handle_request({**scope, _CALLER: caller}, receive, sending)

    mounted = McpApp(app, identity_of, RefusedRequests(borrow))
    return mounted


class McpApp:
    """The application. Not a function, because a router would call that with a request."""

    def __init__(self, app: App, identity_of: IdentityOf, refusals: RefusedRequests) -> None:
        self._app, self._identity_of, self._refusals = app, identity_of, refusals
        self.lifespan = refusals.lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def refused(self, scope: Scope, why: str) -> None:
        """Log that a request was refused."""
        caller = self._identity_of(scope)
        address = (scope.get("client") or ("unknown",))[0]
        await self._refusals.refused(caller.name if caller else NOBODY, why, address)


class _Offered(NamedTuple):
    """What the server tells its clients of itself."""

    tools: Mapping[str, Tool]
    instructions: str


def _offered(borrow: Borrow) -> _Offered:
    with borrow() as bench:
        return _Offered(tools_of(bench.sources, bench.settings), instructions(bench.sources))


def _server(
    offered: _Offered, borrow: Borrow, transport: str, caller_of: Callable[[Any], Caller]
) -> Server[Any]:
    import mcp_types as types
    from mcp.server import Server, ServerRequestContext

    tools = offered.tools
    listed = [(tool, _listed(tool)) for tool in tools.values()]
    threads = anyio.CapacityLimiter(MAX_THREADS)

    async def list_tools(
        context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        caller = caller_of(context.request)
        may = [said for tool, said in listed if tool.scope in caller.scopes and tool.is_open_to(caller)]
        return types.ListToolsResult(tools=may)

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller = caller_of(context.request)

        def execute() -> Answer:
            try:
                with borrow() as bench:
                    return answer(tools, Call(bench, caller, transport, params.name, params.arguments or {}))
            except Exception as error:  # noqa: BLE001 - the SDK would show its text to the agent
                return withheld(error, "opening the index for an agent")

        # Not cancelled when the client disconnects: the call completes and is logged.
        answered = await anyio.to_thread.run_sync(execute, limiter=threads)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=answered.text)],
            structured_content=answered.content,
            is_error=answered.is_error,
        )

    return Server(
        NAME,
        version=__version__,
        title="Ingest Assets",
        instructions=offered.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed(tool: Tool) -> types.Tool:
    import mcp_types as types

    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.takes.model_json_schema(),
        output_schema=tool.answers.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent or tool.reads_only,
            open_world_hint=tool.reaches_outside,
        ),
    )


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """The body, None if it is larger than MAX_BODY; and what the SDK can receive it from again."""
    body, messages, more = bytearray(), [], True
    while more and len(body) <= MAX_BODY:
        messages.append(message := await receive())
        body += message.get("body", b"")
        more = message.get("more_body", False)
    waiting = iter(messages)

    async def again() -> MutableMapping[str, Any]:
        return next(waiting, None) or await receive()

    return (bytes(body) if len(body) <= MAX_BODY else None), again


async def _refuse(send: Send, status: int, header: tuple[bytes, bytes], why: str) -> None:
    await _respond(send, status, json.dumps({"error": why}).encode(), header)


async def _respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    first = (b"content-type", b"application/json")
    await send({"type": "http.response.start", "status": status, "headers": [first, *headers]})
    await send({"type": "http.response.body", "body": body})


def stdio_user(settings: Settings) -> str:
    """The name of the caller where there are no tokens: INGEST_MCP_USER, else the system's user."""
    try:
        return settings.ingest_mcp_user or getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container; OSError from Python 3.13 on
        return "unknown user"

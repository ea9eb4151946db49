"""The protocol, through the official SDK: the server, on stdio and as an ASGI app.

What belongs here: what the SDK wants to hear. What does not: what a call does (calls). Its low-level server
is used, so that every call reaches us, and the log, as it was made. It is slow to import: inside functions.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio

from ingest_assets.doors.mcp.benches import Benches, Lend
from ingest_assets.doors.mcp.calls import Answer, Call, Caller, Tool, answer
from ingest_assets.doors.mcp.strangers import NOBODY, Strangers
from ingest_assets.doors.mcp.tools import INSTRUCTIONS, TOOLS
from ingest_assets.settings import Settings

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server import Server

NAME = "ingest-assets"
# Bytes of a request. Every call that the tools take fits: a note takes 0.15 MB if each of its characters
# is written as \uXXXX\uXXXX, a search with all its filters full 0.4 MB. And the event loop, on which JSON is
# read, is held up for a fifth of a second at most, whatever is sent.
MAX_BODY = 1 << 20
UNAUTHORIZED = "A bearer token is needed."
POST_ALONE = "POST alone: this server opens no stream of its own, and has no sessions to end."
# What the SDK's protection answers; that of the door is its own (`http.admission`).
TURNED_AWAY = {
    421: "The name in the Host header is not this server's.",
    403: "It comes from another site's page.",
    413: f"The request is too large: at most {MAX_BODY} bytes.",
}
AT_ONCE = 8  # calls in threads; more wait, and each needs a workbench

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
# Who makes an HTTP request, by its ASGI scope; None for nobody we know.
IdentityOf = Callable[[Scope], Caller | None]

_CALLER = "ingest_assets.caller"  # its place in the scope of a request


def serve_stdio(settings: Settings) -> None:
    """Serve one client on standard input and output until it hangs up. All else goes to standard error."""
    from mcp.server.stdio import stdio_server

    caller = Caller(stdio_user(settings))
    benches = Benches(settings)

    async def serve() -> None:
        server = _server(benches.lend, "stdio", lambda _request: caller)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    try:
        # Opened before the client is heard: a wrong setting ends the process with one sentence.
        with benches.lend() as bench:
            bench.ledger  # noqa: B018 - opening it is what counts
        anyio.run(serve)
    finally:
        benches.close()


def mcp_app(
    lend: Lend,
    identity_of: IdentityOf,
    *,
    behind_tokens: bool = False,
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
) -> McpApp:
    """Streamable HTTP as an ASGI app, for a route of any application: `Route("/mcp", endpoint=mcp_app(…))`.

    Stateless: each request is complete and brings its own token, so there are no sessions to steal, to expire
    or to lose in a restart. Nothing is sent that was not asked for: a GET, with which a client would wait for
    it, and a DELETE, with which it would end a session, get 405, as the protocol has it for such servers.
    Requests that `identity_of` does not know get 401, which is logged (`strangers`); one that mounts it and
    refuses by itself tells `refused`. Its lifespan logs what waits when it ends.
    Besides loopback, only `allowed_hosts` may stand in a request's Host header ("index.example.com", with
    ":*" for any port), and `allowed_origins` in Origin: the SDK's protection against DNS rebinding. Where
    every request needs a token, `behind_tokens`, it is not needed: a page that rebinds a name has none.
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
    server = _server(lend, "http", lambda request: request.scope[_CALLER])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"MCP is spoken over HTTP, not {scope['type']}.")
        caller = identity_of(scope)
        if caller is None:
            await mounted.refused(scope, UNAUTHORIZED)
            await _refuse(send, 401, (b"www-authenticate", b"Bearer"), UNAUTHORIZED)
            return
        if scope["method"] != "POST":
            await _refuse(send, 405, (b"allow", b"POST"), POST_ALONE)
            return

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and (why := TURNED_AWAY.get(message["status"])):
                await mounted.refused(scope, why)
            await send(message)

        # A manager can run once; one a request costs less than a tenth of a millisecond.
        manager = StreamableHTTPSessionManager(
            app=server,
            json_response=True,
            stateless=True,
            security_settings=security,
            max_request_body_size=MAX_BODY,
        )
        async with manager.run():
            await manager.handle_request({**scope, _CALLER: caller}, receive, sending)

    mounted = McpApp(app, identity_of, Strangers(lend))
    return mounted


class McpApp:
    """The application. Not a function, which a router would take for one of a request."""

    def __init__(self, app: App, identity_of: IdentityOf, strangers: Strangers) -> None:
        self._app, self._identity_of, self._strangers = app, identity_of, strangers
        self.lifespan = strangers.lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def refused(self, scope: Scope, why: str) -> None:
        """Log that a request was not let in."""
        caller = self._identity_of(scope)
        address = (scope.get("client") or ("nowhere",))[0]
        await self._strangers.refused(caller.name if caller else NOBODY, why, address)


def _server(lend: Lend, transport: str, caller_of: Callable[[Any], Caller]) -> Server[Any]:
    import mcp_types as types
    from mcp.server import Server, ServerRequestContext

    listed = [_listed(tool) for tool in TOOLS.values()]
    threads = anyio.CapacityLimiter(AT_ONCE)

    async def list_tools(
        _context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        caller = caller_of(context.request)

        def work() -> Answer:
            with lend() as bench:
                return answer(TOOLS, Call(bench, caller, transport, params.name, params.arguments or {}))

        # Not given up when the client goes away: it ends, and is logged.
        answered = await anyio.to_thread.run_sync(work, limiter=threads)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=answered.text)],
            structured_content=answered.content,
            is_error=answered.is_error,
        )

    return Server(
        NAME,
        version=version(NAME),
        title="Ingest Assets",
        instructions=INSTRUCTIONS,
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
            destructive_hint=False,
            idempotent_hint=tool.reads_only,
            open_world_hint=False,
        ),
    )


async def _refuse(send: Send, status: int, header: tuple[bytes, bytes], why: str) -> None:
    headers = [(b"content-type", b"application/json"), header]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": why}).encode()})


def stdio_user(settings: Settings) -> str:
    """Who is served where there are no tokens: as the settings say, else the system's user."""
    try:
        return settings.ingest_mcp_user or getpass.getuser()
    except (OSError, KeyError):  # a container's user that has no name; OSError from Python 3.13 on
        return "unknown user"

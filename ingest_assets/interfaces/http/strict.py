"""Requests whose heads two servers could read differently are refused, and heads that are too large.

If a proxy in front and this server disagree on where a request ends, the proxy lets something past that it
would refuse (request smuggling). h11 accepts several ambiguous spellings for the sake of old clients; nobody
needs them today.

What belongs here: the head of a request, as bytes. What does not: timing and sockets (`connections`).
"""

from __future__ import annotations

import re
from typing import Any

import h11

MAX_HEAD_BYTES = 32_768  # of the request line and the headers together
_END = b"\r\n\r\n"
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FOLDED = re.compile(rb"\n[ \t]")
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CODING = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)


class StrictConnection(h11.Connection):
    """A server's connection that raises RemoteProtocolError for ambiguous heads.

    `status` is then the status to answer with.
    """

    status = 400

    def next_event(self) -> Any:
        try:
            if self.their_state is h11.IDLE:
                require_unambiguous(self.trailing_data[0])
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self.status = error.error_status_hint
            raise


def require_unambiguous(received: bytes) -> None:
    """Check a head, of which all or only the beginning has been received, with or without what follows it.

    Raises RemoteProtocolError with the status to answer with.
    """
    end = received.find(_END)
    head = received if end < 0 else received[:end]
    if len(head) > MAX_HEAD_BYTES:
        raise h11.RemoteProtocolError("The head is too large.", error_status_hint=431)
    if _BARE_LINE_FEED.search(head):
        raise h11.RemoteProtocolError("A line ends with a line feed alone.")
    if _FOLDED.search(head):
        raise h11.RemoteProtocolError("A header continues on a second line.")
    lengths = _LENGTH.findall(head)
    if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        raise h11.RemoteProtocolError("Content-Length is not one number.")
    if _CODING.search(head) and (lengths or head.partition(b"\r\n")[0].endswith(b"HTTP/1.0")):
        raise h11.RemoteProtocolError("Transfer-Encoding is not allowed here.")

"""Small PDFs for tests, byte by byte. What belongs here: making them. What does not: expectations."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

Line = str | tuple[float, str]  # of 10 points, or with its size


def pdf(pages: Sequence[Sequence[Line]], *, title: str = "") -> bytes:
    """A PDF whose pages show these lines in Helvetica, from the top."""
    return pdf_of_streams([_stream(page) for page in pages], title=title)


def _stream(page: Sequence[Line]) -> bytes:
    parts, height = [], 800.0
    for line in page:
        size, text = (10, line) if isinstance(line, str) else line
        height -= 1.5 * size
        shown = text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        parts.append(b"BT /F1 %g Tf 50 %g Td (%s) Tj ET" % (size, height, shown))
    return b"\n".join(parts)


def pdf_of_streams(streams: Sequence[bytes], *, title: str = "", filters: str = "/FlateDecode") -> bytes:
    """A PDF of these content streams, compressed as `filters` says."""
    count = len(streams)
    kids = " ".join(f"{5 + 2 * i} 0 R" for i in range(count))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {count}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        f"<</Title({title})>>".encode(),
    ]
    for i, stream in enumerate(streams):
        content = stream
        for _ in range(filters.count("/FlateDecode")):
            content = zlib.compress(content, 9)
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            f"/Contents {6 + 2 * i} 0 R>>".encode(),
            b"<</Length %d/Filter[%s]>>stream\n%s\nendstream" % (len(content), filters.encode(), content),
        ]
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj%s endobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for place in places:
        out.write(b"%010d 00000 n \n" % place)
    out.write(
        b"trailer<</Size %d/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    )
    return out.getvalue()


def encrypted(data: bytes, password: str) -> bytes:
    """The same PDF under a password; with none, anybody may read it."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()

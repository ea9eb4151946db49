"""Small JATS files for tests. What belongs here: making XML. What does not: expectations."""

from __future__ import annotations

IDS = '<article-id pub-id-type="pmcid">PMC1</article-id>'
DOCTYPE = '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "http://127.0.0.1:9/JATS.dtd">'


def article(
    body: str = "<p>Some text.</p>", *, ids: str = IDS, meta: str = "", rest: str = "", kind: str = ""
) -> str:
    """An article element with an optional body, further metadata, and what follows the body."""
    return (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML" '
        f'article-type="{kind or "research-article"}"><front><journal-meta><journal-title-group>'
        "<journal-title>Journal of Tests</journal-title></journal-title-group></journal-meta>"
        f"<article-meta>{ids}<title-group><article-title>A title</article-title></title-group>{meta}"
        f"</article-meta></front>{f'<body>{body}</body>' if body else ''}{rest}</article>"
    )


def wrapped(*articles: str) -> bytes:
    """As efetch gives them."""
    return f"<?xml version='1.0'?><pmc-articleset>{''.join(articles)}</pmc-articleset>".encode()

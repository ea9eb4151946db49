"""Charts for people: the weights of a model, and histograms. Plain SVG, which needs no plotting library.

What belongs here: pure functions from numbers to SVG, legible on light and dark backgrounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log2

from ingest_assets.entities.model import MatchModel

INK, FOR, AGAINST, BARS = "#7a7f87", "#3b8a5a", "#b3543f", "#4a76b8"
WIDTH, ROW, LABELS, BAR = 720, 18, 300, 190
MAX_BITS = 16.0  # longer bars are cut off
BINS = 24


def weights_chart(model: MatchModel) -> str:
    """For each level of each comparison, how many bits it adds for or against a match."""
    rows: list[str] = []
    y = 34
    middle = LABELS + BAR
    for name, levels in model.levels.items():
        rows.append(_text(8, y + 12, name.replace("_", " "), bold=True))
        y += ROW
        for number, (m, u) in enumerate(levels, 1):
            bits = log2(m / u) if m and u else 0.0
            length = min(abs(bits), MAX_BITS) / MAX_BITS * BAR
            left, colour = (middle, FOR) if bits >= 0 else (middle - length, AGAINST)
            rows.append(_text(20, y + 12, _level_name(number, len(levels))))
            rows.append(_bar(left, y + 3, length, ROW - 6, colour))
            rows.append(_text(middle + BAR + 6, y + 12, f"{bits:+.1f}"))
            y += ROW
        y += 6
    origin = f"trained on {model.trained_on:,} records" if model.trained_on else "as shipped"
    title = f"Match weights (bits) of {model.kind}s, {origin}; two random records: {log2(model.prior):+.1f}"
    axis = f'<line x1="{middle}" y1="30" x2="{middle}" y2="{y}" stroke="{INK}" stroke-width="1"/>'
    return _svg(y + 8, [_text(8, 18, title, bold=True), axis, *rows])


def _level_name(number: int, levels: int) -> str:
    if number == levels:
        return "different"
    return "the strongest level" if number == 1 else f"level {number}"


def histogram(values: Sequence[float], title: str, unit: str) -> str:
    """The distribution of the values; a small range of whole numbers gets a bar for each number."""
    bins = _bins(values)
    height, top = 160, 34
    most = max((count for _, count in bins), default=1)
    step = (WIDTH - 40) / max(len(bins), 1)
    parts = [_text(8, 18, f"{title} ({len(values):,})", bold=True)]
    for i, (label, count) in enumerate(bins):
        # Square roots, so that one entity of fifty records among ten thousand of one record can be seen.
        tall = height * (count / most) ** 0.5
        x = 20 + i * step
        parts.append(_bar(x, top + height - tall, max(step - 2, 1), tall, BARS, f"{label} {unit}: {count:,}"))
        if len(bins) <= BINS // 2 or i % 4 == 0:
            parts.append(_text(x, top + height + 16, label))
        if len(bins) <= BINS // 2 and count:
            parts.append(_text(x, top + height - tall - 4, f"{count:,}"))
    parts.append(_text(WIDTH - 90, top + height + 32, unit))
    return _svg(top + height + 42, parts)


def _bins(values: Sequence[float]) -> list[tuple[str, int]]:
    if not values:
        return []
    low, high = min(values), max(values)
    if all(float(value).is_integer() for value in values) and high - low < BINS:
        whole = [int(value) for value in values]
        return [(str(n), whole.count(n)) for n in range(int(low), int(high) + 1)]
    width = (high - low) / BINS or 1.0  # all values may be equal
    counts = [0] * BINS
    for value in values:
        counts[min(int((value - low) / width), BINS - 1)] += 1
    return [(f"{low + i * width:.0f}", count) for i, count in enumerate(counts)]


def _bar(x: float, y: float, width: float, height: float, colour: str, hint: str = "") -> str:
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
    return f"{shape}<title>{escape(hint)}</title></rect>"


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{weight}>{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    style = f'font-family="sans-serif" font-size="11" fill="{INK}"'
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'

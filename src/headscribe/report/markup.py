"""HTML that cannot be injected into: plain strings are escaped wherever they enter.

Only `Html` passes as it is, and only this module and the page's own constants make it.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from headscribe.report.labels import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Html(str):
    """Markup that has been made here; everything else is text."""

    __slots__ = ()


EMPTY = Html("")


def text(value: object) -> Html:
    """Return a value as text: controls and direction marks written out, markup escaped."""
    return value if isinstance(value, Html) else Html(escape(visible(str(value)), quote=True))


LINE = Html("\n")


def join(parts: Iterable[object], between: Html = EMPTY) -> Html:
    """Return parts one after the other, with `between` them."""
    return Html(between.join(text(part) for part in parts))


def tag(element: str, /, *children: object, **attributes: object) -> Html:
    """Return an element; `class_` is the attribute class, `aria_label` is aria-label.

    An attribute that is True stands without a value; None and False are left out.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        written.append(f" {attribute}" if value is True else f' {attribute}="{text(value)}"')
    head = f"<{element}{''.join(written)}>"
    if element in ("img", "source", "meta", "link", "br"):
        return Html(head)
    return Html(f"{head}{join(children)}</{element}>")


def table(
    caption: object,
    columns: Sequence[tuple[object, str]],
    groups: Iterable[Sequence[Sequence[object]]],
    *,
    name: str,
) -> Html:
    """Return a table that scrolls where it is wider than the page.

    Args:
        caption: what it shows.
        columns: title and class (`number`, `words` or none) of each column.
        groups: rows that share their first cell, which heads them; the first row of a group has
            as many cells as there are columns, the others one less.
        name: what a screen reader calls the region that scrolls.
    """
    head = tag("tr", *(tag("th", title, scope="col", class_=kind) for title, kind in columns))
    body = join((_group(rows, [kind for _, kind in columns]) for rows in groups), LINE)
    content = tag("table", tag("caption", caption), tag("thead", head), body)
    return scrolling(content, name)


def _group(rows: Sequence[Sequence[object]], kinds: Sequence[str]) -> Html:
    """A table body whose first column is one heading."""
    several = len(rows) > 1
    heading = tag(
        "th", rows[0][0], scope="rowgroup" if several else "row",
        rowspan=len(rows) if several else None, class_=kinds[0] or None,
    )  # fmt: skip
    lines = [
        tag("tr", *lead, *(tag("td", cell, class_=kind or None) for cell, kind in cells))
        for lead, cells in (
            ([heading] if at == 0 else [], zip(row[at == 0 :], kinds[1:], strict=True))
            for at, row in enumerate(rows)
        )
    ]
    return tag("tbody", *lines, class_="group" if several else None)


def scrolling(content: Html, name: str) -> Html:
    """Return a region that scrolls sideways, by keyboard too."""
    return tag("div", content, class_="scroll", role="region", aria_label=name, tabindex="0")


def picture(light: "Figure", dark: "Figure", description: str) -> Html:
    """Return a figure in both themes; the reader's preference chooses. An image runs no script."""
    width, height = (round(float(inches) * 96) for inches in light.get_size_inches())
    source = tag("source", media="(prefers-color-scheme: dark)", srcset=_data(dark))
    image = tag(
        "img", src=_data(light), alt=description, width=width, height=height,
        style=Html(f"min-width:{min(width, round(width * 0.72))}px"),
    )  # fmt: skip
    return scrolling(tag("picture", source, image), description)


def data_uri(content: bytes, kind: str) -> Html:
    """Return bytes as an address that needs no file."""
    return Html(f"data:{kind};base64,{b64encode(content).decode()}")


def _data(figure: "Figure") -> Html:
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")

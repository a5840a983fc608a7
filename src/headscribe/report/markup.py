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


def join(parts: Iterable[object], between: str = "") -> Html:
    """Return parts one after the other, with the text `between` them."""
    return Html(text(between).join(text(part) for part in parts))


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
    rows: Iterable[Sequence[object]],
    *,
    name: str,
) -> Html:
    """Return a table that scrolls where it is wider than the page.

    Args:
        caption: what it shows.
        columns: title and class (`number` or `words`) of each column; the first heads its row.
        rows: cells, as many as columns.
        name: what a screen reader calls the region that scrolls.
    """
    head = tag("tr", *(tag("th", title, scope="col", class_=kind) for title, kind in columns))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", class_=columns[0][1]),
            *(
                tag("td", cell, class_=kind)
                for cell, (_, kind) in zip(row[1:], columns[1:], strict=True)
            ),
        )
        for row in rows
    ]
    content = tag(
        "table", tag("caption", caption), tag("thead", head), tag("tbody", join(body, "\n"))
    )
    return scrolling(content, name)


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

"""Colours of figures and pages, light and dark, safe for colour-blind readers.

Families take the hues of Okabe and Ito (Color Universal Design, 2008). Attention runs from the
surface to one end of a single hue; a difference from blue over the surface to orange. Attention is
shown by its square root, so that weak attention over many keys does not look like none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

ThemeName = Literal["light", "dark"]
RampName = Literal["attention", "difference"]
Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """One set of colours, as `#rrggbb`.

    Attributes:
        name: light or dark.
        surface: the background.
        ink: text.
        muted: text of second rank.
        line: rules and outlines.
        empty: what has no value.
        accent: the one colour of plain marks.
        second: marks beside those.
        families: by the family of a pattern.
        attention: stops from no attention to all of it.
        difference: stops from -1 over 0 to 1.
    """

    name: ThemeName
    surface: str
    ink: str
    muted: str
    line: str
    empty: str
    accent: str
    second: str
    families: Mapping[str, str]
    attention: tuple[str, ...]
    difference: tuple[str, ...]

    def family(self, name: str) -> str:
        """The colour of a pattern family; of `custom` for one that is not known."""
        return self.families.get(name, self.families["custom"])

    def shade(self, color: str, strength: float) -> str:
        """`color` over the surface at `strength` (0 to 1)."""
        low, high = np.array(rgb(self.surface)), np.array(rgb(color))
        mixed = np.rint(low + (high - low) * min(max(strength, 0.0), 1.0)).astype(int)
        return "#" + "".join(f"{channel:02x}" for channel in mixed)

    def text_on(self, color: str) -> str:
        """Ink or surface, whichever stands out more from `color`."""
        return max((self.ink, self.surface), key=lambda text: contrast(text, color))

    def ramp(self, kind: RampName, steps: int) -> UInt8[np.ndarray, "n 3"]:
        """`steps` colours from the lowest to the highest value."""
        stops = np.array([rgb(stop) for stop in getattr(self, kind)], float)
        at = np.linspace(0, len(stops) - 1, steps)
        columns = [np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)]
        return np.rint(np.stack(columns, axis=1)).astype(np.uint8)

    def attention_at(self, share: float) -> str:
        """The colour of the ramp of attention at `share` (0 to 1)."""
        red, green, blue = self.ramp("attention", 101)[round(100 * float(share))]
        return f"#{red:02x}{green:02x}{blue:02x}"

    def colormap(self, kind: RampName) -> "Colormap":
        """The ramp for matplotlib; missing values are transparent."""
        from matplotlib.colors import ListedColormap

        ramp = self.ramp(kind, 257) / 255  # odd: a difference of 0 has the surface's colour
        return ListedColormap(ramp, name=f"headscribe_{kind}_{self.name}").with_extremes(
            bad=(0, 0, 0, 0)
        )


LIGHT = Theme(
    name="light", surface="#ffffff", ink="#1a1f26", muted="#57606a", line="#d5dae0",
    empty="#eef0f3", accent="#0a5ea8", second="#b04a00",
    families={
        "positional": "#0072b2", "lexical": "#d55e00", "syntactic": "#00855f", "sink": "#767d86",
        "custom": "#a8458c",
    },
    attention=("#ffffff", "#d3e5f4", "#86b9de", "#2f7fbf", "#0b4d8c", "#062a57"),
    difference=("#0b4d8c", "#4b93cb", "#b9d6ec", "#ffffff", "#f6cfa6", "#d9822b", "#8f3d00"),
)  # fmt: skip

DARK = Theme(
    name="dark", surface="#12161c", ink="#e8ebf0", muted="#a4adb8", line="#3a424d",
    empty="#1d232b", accent="#7cc0f5", second="#f2a55e",
    families={
        "positional": "#56b4e9", "lexical": "#f29a4c", "syntactic": "#2fc398", "sink": "#98a1ab",
        "custom": "#e090c4",
    },
    attention=("#12161c", "#173553", "#1f5d94", "#3b93d3", "#8fcbf6", "#eaf6ff"),
    difference=("#a9d8fb", "#3b93d3", "#1b4a75", "#12161c", "#74410f", "#dd8a35", "#ffd9ae"),
)  # fmt: skip

THEMES: dict[ThemeName, Theme] = {"light": LIGHT, "dark": DARK}

FAMILY_SENTENCES: dict[str, str] = {
    "positional": "reads offsets only",
    "lexical": "reads the tokens themselves",
    "syntactic": "reads word classes or the parse",
    "sink": "reads sinks: opening and special tokens",
    "custom": "a pattern of your own",
}


def on_scale(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Where values of -1 to 1 lie on the colour scale, `sign(v) sqrt(|v|)`."""
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def rgb(color: str) -> Rgb:
    """Red, green and blue of `#rrggbb`, 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2; text needs 4.5)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = np.array(rgb(color)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """Draw in the theme's colours: matplotlib's settings for the body of a `with`, then restored.

    Text is never read as mathematics: a label may hold `$` or `_`.
    """
    import matplotlib

    settings: dict[str, Any] = {
        "font.family": ["DejaVu Sans"], "font.size": 9, "text.parse_math": False,
        "text.usetex": False, "text.color": theme.ink, "figure.facecolor": theme.surface,
        "savefig.facecolor": "auto", "axes.facecolor": theme.surface,
        "axes.edgecolor": theme.line, "axes.labelcolor": theme.muted, "axes.titlecolor": theme.ink,
        "axes.linewidth": 0.8, "axes.grid": False, "axes.titlesize": 10, "axes.labelsize": 9,
        "xtick.color": theme.line, "ytick.color": theme.line, "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink, "hatch.color": theme.line, "hatch.linewidth": 0.8,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        "svg.fonttype": "path", "svg.hashsalt": "headscribe", "figure.dpi": 100,
    }  # fmt: skip
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **settings, "backend": "agg"}):
        yield


@contextmanager
def panel(
    theme: Theme, size: tuple[float, float], box: tuple[float, float, float, float]
) -> "Iterator[tuple[Figure, Axes]]":
    """A figure of one panel, in inches: the box is left, bottom, width and height."""
    from matplotlib.figure import Figure

    with drawing(theme):
        figure = Figure(figsize=size)
        yield figure, figure.add_axes(tuple(np.divide(box, [*size, *size])))


def number_heads(
    axes: "Axes", shape: tuple[int, int], fontsize: float = 8, middle: float = 0
) -> None:
    """Number layers on the left and heads on top; the first one's middle lies at `middle`."""
    for axis, count in zip((axes.yaxis, axes.xaxis), shape, strict=True):
        axis.set_ticks(np.arange(count) + middle, map(str, range(count)), fontsize=fontsize)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("head", labelpad=3)
    axes.set_ylabel("layer", labelpad=4)

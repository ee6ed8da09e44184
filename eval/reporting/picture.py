"""Curves of training as one SVG file that stands alone, on white: a picture for a model card, where no style sheet is."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from eval.reporting.plots import curve_plot, short
from eval.reporting.training_log import Curve, Training

SHOWN = ("loss", "reward margin", "reward")  # of each training, what there is
WIDTH, HEIGHT, GAP = 360, 190, 66  # pixels of a curve, and what is left around it for words
COLOURS = {"train": "#1f5c99", "validation": "#c2571a"}
STYLE = (
    "svg{overflow:visible}text{font:13px sans-serif;fill:#1e1f21}.soft{fill:#5c6066}.end{fill:#5c6066;text-anchor:end}.curve path{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;"
    f"stroke:{COLOURS['train']}}}.curve .c1{{stroke:{COLOURS['validation']}}}.curve .dots{{stroke-width:6;stroke-linecap:round}}"
)


def picture(trained: Sequence[Training]) -> str:
    """A row for each training that logged anything, "" where none did."""
    rows = [panels for one in trained if (panels := [(one, curve) for curve in one.curves if curve.label in SHOWN])]
    if not rows:
        return ""
    wide, high = WIDTH + 2 * GAP, HEIGHT + 2 * GAP
    width, height = wide * max(map(len, rows)), high * len(rows)
    drawn = Markup("")
    for down, panels in enumerate(rows):
        for across, (one, curve) in enumerate(panels):
            drawn += panel(one, curve, across * wide + GAP, down * high + GAP)
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}"><style>{2}</style>'
    paper = Markup('<rect width="100%" height="100%" fill="#fff"/>')
    return Markup(head).format(width, height, Markup(STYLE)) + paper + drawn + Markup("</svg>\n")


def panel(one: Training, curve: Curve, left: int, top: int) -> Markup:
    plot = curve_plot(curve, one.steps)
    bottom = top + HEIGHT
    words = [
        (left, top - 14, "", f"{one.method}: {curve.label}"),
        (left - 8, top + 12, "end", short(plot["high"])),
        (left - 8, bottom, "end", short(plot["low"])),
        (left + WIDTH, bottom + 18, "end", f"{plot['steps']:,} steps"),
    ]
    if "validation" in curve.series:
        words.append((left, bottom + 18, "soft", "blue: training rows, orange: validation rows"))
    frame = Markup('<svg x="{}" y="{}" width="{}" height="{}">{}</svg>').format(left, top, WIDTH, HEIGHT, plot["svg"])
    rule = Markup('<path d="M{0} {1}v{2}h{3}" fill="none" stroke="#dcd9d1"/>').format(left, top, HEIGHT, WIDTH)
    return rule + frame + Markup("").join(Markup('<text x="{}" y="{}" class="{}">{}</text>').format(*word) for word in words)

"""A plot as SVG: lines of points over logarithmic axes, with units and a legend. Pure."""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

# Told apart also by who sees few colours, and in print.
STYLES = (("#000000", ""), ("#0072b2", ""), ("#d55e00", ""), ("#009e73", "6 3"), ("#cc79a7", "2 3"))
WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 55
LEGEND = 28


@dataclass
class Axis:
    """Positions on a logarithmic scale from `low` to `high`."""

    label: str
    low: float
    high: float
    begin: float  # where low is, in pixels
    end: float

    def place(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        """1, 2 and 5 of each decade."""
        decade = 10 ** math.floor(math.log10(self.low))
        found = []
        while decade <= self.high:
            found += [step * decade for step in (1, 2, 5)
                      if self.low * 0.999 <= step * decade <= self.high * 1.001]
            decade *= 10
        return found


def around(values):
    """(low, high): the nearest 1, 2 or 5 of a decade outside of all values."""
    steps = sorted(step * 10.0 ** decade for decade in range(-6, 10) for step in (1, 2, 5))
    low = max(step for step in steps if step <= min(values) * 1.001)
    high = min(step for step in steps if step >= max(values) * 0.999)
    return (low, high) if low < high else (low, low * 10)


def number(value):
    return "%d k" % (value / 1000) if value >= 10000 else "%g" % value


def panel(title, lines, axes, shift):
    """One plot: `lines` is a list of lists of (x, y); its pieces of SVG."""
    x, y = axes
    out = ['<g transform="translate(%d 0)">' % shift,
           '<text x="%g" y="24" class="title">%s</text>' % (x.begin, escape(title))]
    for tick in x.ticks():
        at = x.place(tick)
        out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="grid"/>' % (at, y.begin, at, y.end))
        out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % (at, y.begin + 18, number(tick)))
    for tick in y.ticks():
        at = y.place(tick)
        out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="grid"/>' % (x.begin, at, x.end, at))
        out.append('<text x="%.1f" y="%.1f" text-anchor="end">%s</text>' % (x.begin - 6, at + 4, number(tick)))
    out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>'
               % ((x.begin + x.end) / 2, y.begin + 40, escape(x.label)))
    middle = (y.begin + y.end) / 2
    out.append('<text x="16" y="%.1f" text-anchor="middle" transform="rotate(-90 16 %.1f)">%s</text>'
               % (middle, middle, escape(y.label)))
    for points, (colour, dashes) in zip(lines, STYLES):
        places = ["%.1f,%.1f" % (x.place(a), y.place(b)) for a, b in points]
        out.append('<polyline points="%s" stroke="%s" stroke-dasharray="%s" class="line"/>'
                   % (" ".join(places), colour, dashes))
        out += ['<circle cx="%s" cy="%s" r="2.5" fill="%s"/>' % (*place.split(","), colour)
                for place in places]
    return out + ["</g>"]


def legend(names):
    out = []
    for number_, (name, (colour, dashes)) in enumerate(zip(names, STYLES)):
        at = LEFT + number_ * 215
        out.append('<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-dasharray="%s" class="line"/>'
                   % (at, HEIGHT + 10, at + 30, HEIGHT + 10, colour, dashes))
        out.append('<text x="%d" y="%d">%s</text>' % (at + 36, HEIGHT + 14, escape(name)))
    return out


def svg(panels, x_label, y_label):
    """`panels` is a list of (title, {name: [(x, y)]}), all with the same names and the same axes."""
    points = [point for _, lines in panels for line in lines.values() for point in line]
    low_x, high_x = around([x for x, _ in points])
    low_y, high_y = around([y for _, y in points])
    axes = (Axis(x_label, low_x, high_x, LEFT, WIDTH - RIGHT),
            Axis(y_label, low_y, high_y, HEIGHT - BOTTOM, TOP))
    width, height = WIDTH * len(panels), HEIGHT + LEGEND
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">'
           % (width, height, width, height),
           "<style>text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold }"
           " .grid { stroke: #ddd } .line { fill: none; stroke-width: 1.8 }</style>",
           '<rect width="%d" height="%d" fill="#fff"/>' % (width, height)]
    for place, (title, lines) in enumerate(panels):
        out += panel(title, lines.values(), axes, place * WIDTH)
    out += legend(panels[0][1])
    return "\n".join(out + ["</svg>"]) + "\n"

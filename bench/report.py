"""Figures with their targets, as text, as Markdown, as JSON. Pure."""

from dataclasses import dataclass, field

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass
class Figure:
    """One row. `reached` is what the target is about; with `failed` there is none."""

    name: str
    cells: dict = field(default_factory=dict)
    reached: float = None
    target: float = None
    unit: str = ""  # of both; "x C handler"
    least: bool = False  # the target is a lower limit
    form: str = "%.2f"
    failed: str = ""

    def verdict(self):
        if self.failed:
            return "failed"
        if self.target is None or self.reached is None:
            return ""
        good = self.reached >= self.target if self.least else self.reached <= self.target
        return "reached" if good else "missed"

    def measured(self):
        if self.failed:
            return self.failed
        if self.reached is None:
            return ""
        return (self.form % self.reached + " " + self.unit).strip()

    def goal(self):
        if self.target is None:
            return ""
        return "%s %g" % (">=" if self.least else "<=", self.target)


@dataclass
class Section:
    """A table: `columns` are (heading, format); a figure's cells are by heading."""

    key: str
    title: str
    columns: tuple = ()
    figures: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    plot: str = ""  # SVG

    def rows(self):
        headings = [heading for heading, _ in self.columns]
        table = [[""] + headings + ["compared", "target", ""]]
        for figure in self.figures:
            cells = [form % figure.cells[heading] if heading in figure.cells else ""
                     for heading, form in self.columns]
            table.append([figure.name] + cells + [figure.measured(), figure.goal(), figure.verdict()])
        return without_empty(table)

    def missed(self):
        return [figure for figure in self.figures if figure.verdict() in ("missed", "failed")]


def without_empty(table):
    """Columns that hold nothing are left out, but for the first."""
    keep = [column for column in range(len(table[0]))
            if column == 0 or any(row[column] for row in table[1:])]
    return [[row[column] for column in keep] for row in table]


def text(section):
    table = section.rows()
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [section.title, "-" * len(section.title)]
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines + section.notes) + "\n"


def markdown(section):
    table = section.rows()
    lines = ["### " + section.title, ""]
    lines.append(row_markdown(table[0]))
    lines.append("| --- |" + " ---: |" * (len(table[0]) - 1))
    lines += [row_markdown(row) for row in table[1:]]
    for note in section.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def row_markdown(row):
    cells = [cell.replace("|", "\\|").replace("<=", "≤").replace(">=", "≥").replace(" x ", " × ")
             for cell in row]
    return "| " + " | ".join("**%s**" % cell if cell == "missed" else cell for cell in cells) + " |"


def as_dict(section):
    """What JSON gets."""
    return {"key": section.key, "title": section.title, "notes": section.notes,
            "figures": [dict(name=figure.name, cells=figure.cells, reached=figure.reached,
                             target=figure.target, unit=figure.unit, least=figure.least,
                             failed=figure.failed, verdict=figure.verdict())
                        for figure in section.figures]}


def replaced(page, generated):
    """The page with what stands between the markers replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the lines %s and %s" % (BEGIN, END))
    return before + begin + "\n\n" + generated.strip() + "\n\n" + end + after

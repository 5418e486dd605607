"""Draws the chart: for some cases the server's processor time as a multiple of the limit, and the memory of an idle
connection. It has a ground of its own and follows the reader's choice of light or dark."""

from xml.sax.saxutils import escape

from cases import IDLE

SHOWN = ["echo64x100", "echo64x1000", "echo64x100p16", "echo16k", "echo1m", "fan64p4", "handshake", "idle10000"]
PANELS_IN_A_ROW = 2
WIDTH = 960
MARGIN = 24
PANEL_GAP = 40
LABEL_WIDTH = 128
FIGURE_WIDTH = 44
ROW_HEIGHT = 19
BAR_HEIGHT = 11
TITLE_HEIGHT = 30
HEAD_HEIGHT = 76
PANEL_FOOT = 22
LONGEST_RATIO = 6.0
LONGEST_KIB = 24.0
HEAD = "Processor time of the server per message, as a multiple of the limit: less is better"
LEGEND = (
    "Blue is this library; the red line is the limit: the same recv and send calls without a WebSocket in between. "
    "A bar with a gap is cut."
)

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .ground { fill: #ffffff; stroke: #d1d9e0; }
  .head { font-size: 17px; font-weight: 600; }
  .case { font-size: 13px; font-weight: 600; }
  .soft { fill: #59636e; }
  .own { fill: #0969da; } .pure { fill: #80b3ef; } .peer { fill: #afb8c1; }
  text.own { font-weight: 600; } text.pure { fill: #1f2328; } text.peer { fill: #1f2328; }
  .track { fill: #f3f5f7; } .limit { stroke: #cf222e; stroke-dasharray: 3 3; } .gap { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text, text.pure, text.peer { fill: #e6edf3; }
    .ground { fill: #0d1117; stroke: #3d444d; }
    .soft { fill: #9198a1; }
    .own { fill: #4493f8; } .pure { fill: #2d5790; } .peer { fill: #656c76; }
    text.own { fill: #79b8ff; }
    .track { fill: #161b22; } .limit { stroke: #f85149; } .gap { fill: #0d1117; }
  }
"""


def text(x, y, words, kind="", anchor="start"):
    return '<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>' % (x, y, kind, anchor, escape(words))


def rect(x, y, width, height, kind, rounding=2):
    shape = '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%d" class="%s"/>'
    return shape % (x, y, width, height, rounding, kind)


def kind_of(names):
    """Ours, ours without the accelerator, or a peer."""
    return "peer" if not names[0].startswith("ours") else "pure" if names[0].endswith("pure") else "own"


def figure(value):
    return "%.2f" % value if value < 10 else "%.1f" % value if value < 100 else "%.0f" % value


def bar(x, y, width, column, value, longest):
    """One row: name, bar, figure. A bar that would leave the panel has a gap before its end."""
    title, names = column
    kind = kind_of(names)
    parts = [text(x + LABEL_WIDTH - 8, y + 10, title, kind, "end")]
    parts.append(rect(x + LABEL_WIDTH, y, width, BAR_HEIGHT, "track"))
    if value is None:
        return parts + [text(x + LABEL_WIDTH + 6, y + 10, "not measured", "soft")]
    length = width * min(value, longest) / longest
    parts.append(rect(x + LABEL_WIDTH, y, max(length, 1), BAR_HEIGHT, kind))
    if value > longest:
        parts.append(rect(x + LABEL_WIDTH + length - 16, y - 1, 4, BAR_HEIGHT + 2, "gap", 0))
    return parts + [text(x + LABEL_WIDTH + width + 6, y + 10, figure(value), "own" if kind == "own" else "")]


def values_of(results, name, columns):
    """What a panel shows for each column, and the length of its longest bar."""
    if name in IDLE:

        def kib(server):
            good = results.good(name, server)
            return good[0]["rss_bytes"] / 1024 if good else None

        return [results.least(names, kib) for _, names in columns], LONGEST_KIB
    return [results.least_ratio(name, names) for _, names in columns], LONGEST_RATIO


def panel(x, y, width, results, case, columns):
    """One case: a bar for each column, and a line where the limit is."""
    is_memory = case["name"] in IDLE
    title = "memory of an idle connection, KiB" if is_memory else case["title"]
    parts = [text(x + LABEL_WIDTH, y + 16, title, "case")]
    values, longest = values_of(results, case["name"], columns)
    top, bar_width = y + TITLE_HEIGHT, width - LABEL_WIDTH - FIGURE_WIDTH
    for at, column in enumerate(columns):
        parts += bar(x, top + at * ROW_HEIGHT, bar_width, column, values[at], longest)
    if not is_memory:
        line = x + LABEL_WIDTH + bar_width / longest
        mark = '<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="limit"/>'
        parts.append(mark % (line, top - 4, line, top + len(columns) * ROW_HEIGHT - 4))
    return parts


def draw(results, columns):
    """Gives the chart as SVG."""
    cases = {case["name"]: case for case in results.cases}
    shown = [cases[name] for name in SHOWN if name in cases]
    panel_height = TITLE_HEIGHT + len(columns) * ROW_HEIGHT + PANEL_FOOT
    height = HEAD_HEIGHT + -(-len(shown) // PANELS_IN_A_ROW) * panel_height
    width = (WIDTH - 2 * MARGIN - (PANELS_IN_A_ROW - 1) * PANEL_GAP) / PANELS_IN_A_ROW
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">' % (WIDTH, height),
        "<style>%s</style>" % STYLE,
        rect(0.5, 0.5, WIDTH - 1, height - 1, "ground", 8),
        text(MARGIN, 34, HEAD, "head"),
        text(MARGIN, 55, LEGEND, "soft"),
    ]
    for at, case in enumerate(shown):
        x = MARGIN + at % PANELS_IN_A_ROW * (width + PANEL_GAP)
        parts += panel(x, HEAD_HEIGHT + at // PANELS_IN_A_ROW * panel_height, width, results, case, columns)
    return "\n".join(parts + ["</svg>", ""])

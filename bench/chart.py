"""Draws the chart: for each case the server's processor time as a multiple of the limit."""

import textwrap
from xml.sax.saxutils import escape

COLUMNS = 2
PANEL_WIDTH = 470
LABEL_WIDTH = 160
BAR_WIDTH = 230
ROW_HEIGHT = 16
TITLE_HEIGHT = 34
PANEL_GAP = 14
HEAD_HEIGHT = 38
LINE_HEIGHT = 15
CAPTION_LETTERS = 150
LONGEST_RATIO = 6.0
COLOURS = {"limit": "#333333", "own": "#1668b8", "peer": "#b4b4b4"}


def text(x, y, words, size=11, anchor="start", more=""):
    style = 'font-size="%d" text-anchor="%s"%s' % (size, anchor, more)
    return '<text x="%.1f" y="%.1f" %s>%s</text>' % (x, y, style, escape(words))


def bar(x, y, server, ratio):
    """One server's row: name, bar, figure. A bar that would leave the panel ends in a gap."""
    kind = "limit" if server.name == "raw" else "own" if server.name.startswith("ours") else "peer"
    more = ' font-weight="bold"' if kind == "own" else ""
    parts = [text(x + LABEL_WIDTH - 6, y + 11, server.title, 10, "end", more)]
    if ratio is None:
        why = "not installed" if server.missing else "failed"
        return parts + [text(x + LABEL_WIDTH + 4, y + 11, why, 10, more=' fill="#888888"')]
    width = BAR_WIDTH * min(ratio, LONGEST_RATIO) / LONGEST_RATIO
    shape = '<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>'
    parts.append(shape % (x + LABEL_WIDTH, y + 2, width, ROW_HEIGHT - 5, COLOURS[kind]))
    if ratio > LONGEST_RATIO:
        parts.append(shape % (x + LABEL_WIDTH + width - 14, y + 1, 4, ROW_HEIGHT - 3, "#ffffff"))
    figure = "%.2f" % ratio if ratio < 10 else "%.0f" % ratio
    return parts + [text(x + LABEL_WIDTH + width + 5, y + 11, figure, 10)]


def panel(x, y, results, servers, case):
    """One case: a bar for each server, and a line where the limit is."""
    parts = [text(x + LABEL_WIDTH, y + 20, case.title, 12, more=' font-weight="bold"')]
    top = y + TITLE_HEIGHT - 6
    for at, server in enumerate(servers):
        parts += bar(x, top + at * ROW_HEIGHT, server, results.ratio(case, server))
    line = x + LABEL_WIDTH + BAR_WIDTH / LONGEST_RATIO
    bottom = top + len(servers) * ROW_HEIGHT
    mark = '<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#d33" stroke-dasharray="3 3"/>'
    return parts + [mark % (line, top, line, bottom)]


def draw(results, servers, shown, caption):
    """Gives the chart as SVG."""
    lines = textwrap.wrap(caption, CAPTION_LETTERS)
    head = HEAD_HEIGHT + LINE_HEIGHT * len(lines)
    panel_height = TITLE_HEIGHT + len(servers) * ROW_HEIGHT + PANEL_GAP
    rows = -(-len(shown) // COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, head + rows * panel_height
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif">' % (width, height),
        '<rect width="%d" height="%d" fill="#ffffff"/>' % (width, height),
        text(16, 24, "Processor time of the server per message, as a multiple of the limit (less is better)", 15),
    ]
    for at, line in enumerate(lines):
        parts.append(text(16, 42 + at * LINE_HEIGHT, line, 11, more=' fill="#666666"'))
    for at, case in enumerate(shown):
        x, y = at % COLUMNS * PANEL_WIDTH, head + at // COLUMNS * panel_height
        parts += panel(x, y, results, servers, case)
    return "\n".join(parts + ["</svg>", ""])

"""The mailbox's pages: plain HTML, one style sheet, no script."""

import re
from datetime import UTC, datetime
from html import escape

from devstack.mailbox.letters import Letter

LINK = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:)]")

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#dfe3e8, #30363d); --soft: light-dark(#5c6670, #9aa4af);
  --page: light-dark(#f6f7f9, #0f1318); --card: light-dark(#ffffff, #171c22); --link: light-dark(#1a56c4, #7fb0ff); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
a { color: var(--link); }
ul, article { list-style: none; margin: 0; padding: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; overflow: hidden; }
li + li { border-top: 1px solid var(--line); }
li a { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; padding: .75rem 1rem; text-decoration: none; }
li a:hover, li a:focus-visible { background: var(--page); }
li b { color: light-dark(#14181d, #eef1f4); font-weight: 600; overflow-wrap: anywhere; }
small, p.empty { color: var(--soft); }
li small:last-child { grid-column: 1 / -1; overflow-wrap: anywhere; }
article header { padding: 1rem; border-bottom: 1px solid var(--line); color: var(--soft); }
@media (max-width: 30rem) { li a { grid-template-columns: 1fr; } }
pre { margin: 0; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; }
"""


def listing(letters: list[Letter]) -> str:
    """All mails; the page looks for new ones every few seconds."""
    rows = "".join(
        f'<li><a href="/mail/{letter.id}"><b>{escape(letter.subject)}</b><small>{when(letter)}</small>'
        f"<small>to {escape(', '.join(letter.to))}</small></a></li>"
        for letter in letters
    )
    empty = '<p class="empty">No mail yet. What Keymeter sends in development arrives here.</p>'
    return page("Mailbox", f"<h1>Mailbox</h1>{f'<ul>{rows}</ul>' if rows else empty}", refresh=5)


def reading(letter: Letter) -> str:
    """One mail with its links."""
    return page(
        letter.subject,
        f'<p><a href="/">← All mails</a></p><h1>{escape(letter.subject)}</h1><article><header>'
        f"From {escape(letter.sender)}<br>To {escape(', '.join(letter.to))}<br>{when(letter)}</header>"
        f"<pre>{with_links(letter.text)}</pre></article>",
    )


def with_links(text: str) -> str:
    """Escaped text in which addresses can be followed."""
    parts, end = [], 0
    for found in LINK.finditer(text):
        address = escape(found[0])
        parts += [escape(text[end : found.start()]), f'<a href="{address}">{address}</a>']
        end = found.end()
    return "".join(parts) + escape(text[end:])


def when(letter: Letter) -> str:
    return f"{datetime.fromtimestamp(letter.received, UTC):%Y-%m-%d %H:%M:%S} UTC"


def page(title: str, body: str, refresh: int | None = None) -> str:
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="/style.css"></head><body><main>{body}</main></body></html>'
    )

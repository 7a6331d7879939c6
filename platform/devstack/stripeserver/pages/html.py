"""The frame of all pages, and how amounts are shown."""

from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

from aiohttp import web

WITHOUT_CENTS = ("jpy", "krw")
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#dfe3e8, #30363d); --soft: light-dark(#5c6670, #9aa4af);
  --page: light-dark(#f6f7f9, #0f1318); --card: light-dark(#ffffff, #171c22); --link: light-dark(#4b45c6, #a5a1ff);
  --wrong: light-dark(#b3261e, #ff9c94); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
main { max-width: 30rem; margin: 0 auto; padding: 1.5rem 1rem; }
main.wide { max-width: 60rem; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); }
form, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem;
  margin: 0 0 1rem; }
form.bare { display: inline; background: none; border: 0; padding: 0; }
label { display: block; margin: 0 0 .75rem; }
label.check { display: flex; gap: .5rem; align-items: center; }
input:not([type=checkbox]) { display: block; width: 100%; padding: .5rem .6rem; font: inherit; color: inherit;
  background: var(--page); border: 1px solid var(--line); border-radius: 6px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1rem; }
button { width: 100%; padding: .6rem; font: inherit; font-weight: 600; color: #fff; background: #4b45c6;
  border: 0; border-radius: 6px; cursor: pointer; }
button.plain { width: auto; color: inherit; background: none; border: 1px solid var(--line); font-weight: 400;
  padding: .2rem .6rem; }
button + button { margin-top: .5rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.amount { font-size: 2rem; font-weight: 600; margin: 0; }
.soft, small { color: var(--soft); }
.wrong { color: var(--wrong); }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: .6rem 0; border-top: 1px solid var(--line); }
li:first-child { border-top: 0; }
table { width: 100%; border-collapse: collapse; }
h1:first-child, h2:first-child, p:first-child { margin-top: 0; }
details td:first-child { white-space: nowrap; }
td, th { text-align: left; padding: .3rem .5rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.scroll { overflow-x: auto; }
"""


def page(title: str, body: str, *, status: int = 200, leads_to: Iterable[str] = (), wide: bool = False) -> web.Response:
    """`leads_to` are addresses that a form's answer redirects to: browsers want them in the policy."""
    targets = " ".join(sorted({origin(address) for address in leads_to if address}))
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="/style.css"></head><body><main{" class=wide" if wide else ""}>{body}'
        "<p><small>A local Stripe for development. Only test cards pay; no money moves.</small></p>"
        "</main></body></html>"
    )
    policy = (
        f"default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self' {targets}; "
        "frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    headers["Referrer-Policy"] = "no-referrer"
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def gone(text: str) -> web.Response:
    """There is nothing here, or nothing any more."""
    return page("Local Stripe", f"<h1>{escape(text)}</h1>", status=404)


def money(amount: int, currency: str) -> str:
    """`$25.00`; other currencies by their code."""
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 1 if currency in WITHOUT_CENTS else 100)
    number = f"{whole:,}" + ("" if currency in WITHOUT_CENTS else f".{part:02}")
    return f"{sign}${number}" if currency == "usd" else f"{sign}{number} {currency.upper()}"


def origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

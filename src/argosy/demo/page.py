"""The shop's page: what a visitor sees, and below it how the page came about (who called whom, as whom, how long).

The visible part is rendered here, once for the whole page and again each second as a fragment that a few lines of
script put in its place; so there is one renderer, and the page is whole without script too.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

STYLE = (Path(__file__).parent / "page.css").read_text()
SCRIPT = (Path(__file__).parent / "page.js").read_text()


def render(page: Mapping[str, object]) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Argonauts' shop</title>
<link rel="icon" href="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><text y='13'
 font-size='13'>⛵</text></svg>">
<style>{STYLE}</style>
</head>
<body>
<header><h1>⛵ The Argonauts' shop</h1><nav>{sign_in(text(page, "user"))}</nav></header>
<main id="shown">{fragment(page)}</main>
<section class="card"><h2>Who answered lately</h2>
<p class="small">Each stripe is one answer of reviews, asked once a second by this page.</p>
<div id="stripes" aria-hidden="true"></div><p id="shares" class="small"></p></section>
<footer>Every arrow above is mutual TLS between two Envoy sidecars; the identities are those their certificates prove.
</footer>
<script>{SCRIPT}</script>
</body>
</html>
"""


def sign_in(user: str) -> str:
    if user:
        return f'signed in as <b>{escape(user)}</b> · <a href="/sign-in?user=">sign out</a>'
    return 'sign in as <a href="/sign-in?user=jason">jason</a> or <a href="/sign-in?user=medea">medea</a>'


def text(part: Mapping[str, object], name: str) -> str:
    value = part.get(name, "")
    return value if isinstance(value, str) else str(value)


def inner(part: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = part.get(name)
    return value if isinstance(value, Mapping) else {}


def fragment(page: Mapping[str, object]) -> str:
    """What changes from answer to answer."""
    catalog, reviews = inner(page, "catalog"), inner(page, "reviews")
    version = text(reviews, "version") or "none"
    return f"""<div id="answer" data-version="{escape(version)}" class="columns">
<section class="card product">{product(catalog)}</section>
<section class="card reviews {escape(version)}">{reviewers(reviews)}</section>
</div>
<section class="card"><h2>How this page came about</h2>
<table><thead><tr><th>caller</th><th>its proven identity</th><th></th><th>service</th><th class="n">took</th></tr>
</thead><tbody>{"".join(hops(page))}</tbody></table></section>"""


def product(catalog: Mapping[str, object]) -> str:
    if error := text(catalog, "error"):
        return f'<h2>The catalogue is away</h2><p class="error">{escape(error)}</p>'
    stock = inner(catalog, "stock")
    pieces = (
        f'<span class="error">stock unknown: {escape(text(stock, "error"))}</span>'
        if "error" in stock
        else f"{escape(text(stock, 'pieces'))} in stock"
    )
    return (
        f"<h2>{escape(text(catalog, 'name'))}</h2><p>{escape(text(catalog, 'text'))}</p>"
        f'<p class="price">{escape(text(catalog, "price"))}</p><p class="small">{pieces}</p>'
    )


def reviewers(reviews: Mapping[str, object]) -> str:
    if error := text(reviews, "error"):
        return f'<h2>Reviews are away</h2><p class="error">{escape(error)}</p>'
    ratings = inner(reviews, "ratings")
    stars = inner(ratings, "ratings")
    version, colour = text(reviews, "version"), text(reviews, "color")
    shown = []
    listed = reviews.get("reviews")
    for review in listed if isinstance(listed, list) else ():
        who = text(review, "reviewer")
        given = stars.get(who)
        row = ""
        if isinstance(given, int):
            row = f'<span class="stars {escape(colour)}" title="{given} of 5">{"★" * given}{"☆" * (5 - given)}</span>'
        shown.append(
            f"<blockquote>{escape(text(review, 'text'))}<footer>{escape(who)} {row}</footer></blockquote>"
        )
    trouble = f'<p class="error">ratings: {escape(text(ratings, "error"))}</p>' if "error" in ratings else ""
    return f'<h2>Reviews <span class="badge {escape(version)}">{escape(version)}</span></h2>{"".join(shown)}{trouble}'


def hops(page: Mapping[str, object]) -> list[str]:
    """One row a call, in the order of depth."""
    catalog, reviews = inner(page, "catalog"), inner(page, "reviews")
    rows = [hop("gateway", text(page, "caller"), "frontend v1", "")]
    for name, part in (("catalog", catalog), ("reviews", reviews)):
        label = f"{name} {text(part, 'version')}".strip()
        rows.append(hop("frontend", text(part, "caller"), label, text(part, "ms"), text(part, "error")))
    if stock := inner(catalog, "stock"):
        label, took = "inventory v1 (gRPC)", text(catalog, "stock_ms")
        rows.append(hop("catalog", text(stock, "caller"), label, took, text(stock, "error")))
    if ratings := inner(reviews, "ratings"):
        took = text(reviews, "ratings_ms")
        caller = f"reviews {text(reviews, 'version')}"
        rows.append(hop(caller, text(ratings, "caller"), "ratings v1", took, text(ratings, "error")))
    return rows


def hop(caller: str, identity: str, service: str, milliseconds: str, error: str = "") -> str:
    took = f"{escape(milliseconds)} ms" if milliseconds else ""
    proven = f"<code>{escape(identity)}</code>" if identity else '<span class="error">none</span>'
    if error:
        proven = f'<span class="error">{escape(error)}</span>'
    return (
        f"<tr><td>{escape(caller)}</td><td>{proven}</td><td>→</td><td><b>{escape(service)}</b></td>"
        f'<td class="n">{took}</td></tr>'
    )

"""The cells of the price table. There are thousands on the page: a template for each would take most of its time."""

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString

from website.pricetable import Cell, Row

register = template.Library()

INPUT = (
    '<input class="form-control{invalid}" name="amount_{meter}" value="{text}" form="row-form-{pk}" inputmode="decimal"'
    ' autocomplete="off" aria-label="{label} of {model}" hx-post="/staff/prices/{pk}/cells/{query}">'
)


@register.simple_tag
def price_cell(row: Row, cell: Cell, address: str) -> SafeString:
    """A price that is edited in place, what it was, and what is wrong with it. `address` are the table's parameters."""
    text: str = escape(cell.text)
    if cell.editable:
        text = INPUT.format(
            invalid=" is-invalid" if cell.error else "",
            meter=cell.meter,
            text=text,
            pk=row.model.pk,
            label=cell.label,
            model=escape(row.model.public_id),
            query=f"?{escape(address)}" if address else "",
        )
    else:
        text = f'<span class="num">{text}</span>'
    below: str = ""
    if cell.error:
        below = f'<div class="error" role="alert">{escape(cell.error)}</div>'
    elif cell.was is not None:
        below = f'<div class="was">was <span class="num">{escape(cell.was)}</span></div>'
    css = "price-cell" if cell.was is None else "price-cell is-changed"
    # Everything from outside is escaped above.
    return SafeString(f'<td class="{css}" data-label="{cell.label}">{text}{below}</td>')

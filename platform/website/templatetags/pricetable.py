"""The rows of the price table. There are hundreds on the page: templates would take most of its time."""

from html import escape

from django import template
from django.utils.safestring import SafeString

from website.pricetable import Asked, Cell, Row
from website.templatetags.keymeter import moment

register = template.Library()

INPUT = (
    '<input class="form-control{invalid}" name="amount_{meter}" value="{text}" form="row-form-{pk}" inputmode="decimal"'
    ' autocomplete="off" aria-label="{label} of {model}" hx-post="/staff/prices/{pk}/cells/{query}">'
)


ROW = (
    '<tr id="row-{pk}">'
    '<td class="lead-cell"><a class="mono" href="/staff/prices/{pk}/{of_list}">{model}</a> {tags}</td>'
    '{cells}<td class="small full-cell">{also}</td><td class="nowrap small">{since}</td>'
    '<td class="no-script"><form id="row-form-{pk}" method="post" action="/staff/prices/{pk}/cells/{query}">'
    '<input type="hidden" name="csrfmiddlewaretoken" value="{token}">'
    '<button type="submit" class="btn btn-sm">Save</button></form></td></tr>'
)


@register.simple_tag
def price_row(row: Row, asked: Asked, address: str, token: str) -> SafeString:
    """A model with its prices, what comes, and a form for those without scripts."""
    tags = "".join(f'<span class="tag tag-warn">{escape(tag)}</span> ' for tag in row.tags)
    later = "".join(f' <span class="tag tag-accent">{moment(one.effective_from)}</span>' for one in row.coming)
    # Everything from outside is escaped.
    return SafeString(
        ROW.format(
            pk=row.model.pk,
            of_list=f"?list={asked.list_id}" if asked.list_id else "",
            model=escape(row.model.public_id),
            tags=tags,
            cells="".join(price_cell(row, cell, address) for cell in row.cells),
            also=escape(row.also),
            since=(moment(row.version.effective_from) if row.version else "") + later,
            query=f"?{escape(address)}" if address else "",
            token=escape(token),
        )
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

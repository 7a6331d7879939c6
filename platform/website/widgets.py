"""Widgets that are written without a template for each of their options: price forms have hundreds of those."""

from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class PlainSelect(forms.Select):
    """The same HTML as Select's, for choices without groups."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        options = format_html_join(
            "\n",
            '<option value="{}"{}>{}</option>',
            (
                (str(option["value"]), SafeString(" selected") if option["selected"] else "", option["label"])
                for _, group, _ in widget["optgroups"]
                for option in group
            ),
        )
        return format_html('<select name="{}"{}>{}</select>', name, flatatt(widget["attrs"]), options)


class PlainInput(forms.TextInput):
    """The same HTML as TextInput's."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        given = {} if widget["value"] is None else {"value": widget["value"]}
        return format_html("<input{}>", flatatt({"type": widget["type"], "name": name, **given, **widget["attrs"]}))


def plain(widget: forms.Widget) -> forms.Widget:
    """The plain one of a widget, where there is one."""
    if type(widget) is forms.Select and not any(isinstance(label, list | tuple) for _, label in widget.choices):
        return PlainSelect(widget.attrs, widget.choices)
    return PlainInput(widget.attrs) if type(widget) is forms.TextInput else widget

"""Form widgets with Tabler's classes, whichever form they come from."""

from django import forms, template
from django.forms.boundfield import BoundField
from django.utils.safestring import SafeString

from website.widgets import plain

register = template.Library()


@register.filter
def styled(field: BoundField) -> SafeString:
    """The widget, marked where wrong; the first wrong one of the form gets the focus."""
    widget = field.field.widget
    if isinstance(widget, forms.CheckboxInput):
        css = "form-check-input"
    else:
        css = "form-select" if isinstance(widget, forms.Select) else "form-control"
    # A placeholder would only repeat the label.
    attrs: dict[str, str | bool] = {"class": f"{css} is-invalid" if field.errors else css, "placeholder": False}
    if field.errors and field.name == next(name for name in field.form.fields if name in field.form.errors):
        attrs["autofocus"] = True
    return field.as_widget(plain(widget), attrs=attrs)


@register.filter
def is_choices(field: BoundField) -> bool:
    """Radio buttons or a group of check boxes."""
    return isinstance(field.field.widget, forms.RadioSelect | forms.CheckboxSelectMultiple)


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, forms.CheckboxInput)

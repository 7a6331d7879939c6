"""Widgets without templates write what Django's own do."""

import pytest
from django import forms
from django.test.html import parse_html

from website.widgets import PlainInput, PlainSelect, plain

ATTRS = {"id": "id_a", "class": 'x" onfocus="y', "required": True, "placeholder": False, "size": 3}
CHOICES = [("", "Every <one>"), ("a&b", "A & B"), (3, "Three"), (None, "None")]


@pytest.mark.parametrize("value", ["", "a&b", 3, "3", None, "unknown", ["a&b"]])
def test_a_select(value: object) -> None:
    theirs = forms.Select(choices=CHOICES).render("na<me", value, ATTRS)
    assert parse_html(PlainSelect(choices=CHOICES).render("na<me", value, ATTRS)) == parse_html(theirs)


@pytest.mark.parametrize("value", ["", "0.5", None, 7, '"><script>'])
def test_an_input(value: object) -> None:
    theirs = forms.TextInput({"inputmode": "decimal"}).render("na<me", value, ATTRS)
    assert parse_html(PlainInput({"inputmode": "decimal"}).render("na<me", value, ATTRS)) == parse_html(theirs)


@pytest.mark.parametrize(
    "widget",
    [forms.Select(choices=[("Group", [("a", "A")])]), forms.RadioSelect(choices=CHOICES), forms.EmailInput()],
)
def test_what_is_otherwise_stays_as_it_is(widget: forms.Widget) -> None:
    assert plain(widget) is widget

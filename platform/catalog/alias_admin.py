"""Aliases, each with its models. A change is audited and reaches the gateways within a second."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User, audit
from catalog.aliases import Alias, AliasMember, check_free
from catalog.catalog_admin import SoldAdmin
from catalog.changes import announce
from catalog.models import Model

if TYPE_CHECKING:
    AliasFormBase = forms.ModelForm[Alias]
    Inline = admin.TabularInline[AliasMember, Alias]
    Members = forms.BaseInlineFormSet[AliasMember, Alias, forms.ModelForm[AliasMember]]
else:
    AliasFormBase = forms.ModelForm
    Inline = admin.TabularInline
    Members = forms.BaseInlineFormSet


class AliasForm(AliasFormBase):
    class Meta:
        model = Alias
        fields = ("public_id", "name", "choice", "enabled", "hidden")

    def clean_public_id(self) -> str:
        public_id: str = self.cleaned_data["public_id"]
        check_free(public_id, Model)
        return public_id


class MemberInline(Inline):
    model = AliasMember
    verbose_name, verbose_name_plural = "model", "models"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """A new alias has room for two, without JavaScript too."""
        return 1 if obj else 2


@admin.register(Alias)
class AliasAdmin(SoldAdmin):
    form = AliasForm
    noun = "alias"
    audited_fields = ("public_id", "name", "choice", "enabled", "hidden")
    fields = audited_fields
    list_display = ("public_id", "choice", "models", "enabled", "hidden")
    search_fields = ("public_id", "name")
    inlines = (MemberInline,)

    @admin.display(description="models")
    def models(self, alias: Alias) -> str:
        return ", ".join(alias.stands_for())

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Its models are audited as a list: their order is what matters."""
        alias: Alias = form.instance
        before = _members(alias)
        super().save_formset(request, form, formset, change)
        after = _members(alias)
        if before != after:
            audit.record(
                "alias.models",
                f"alias:{alias}"[:120],
                actor=request.user if isinstance(request.user, User) else None,
                now=timezone.now(),
                before={"models": before},
                after={"models": after},
            )
        announce(timezone.now())


def _members(alias: Alias) -> list[list[Any]]:
    return [[position, model] for position, model in alias.members.values_list("position", "model__public_id")]

"""Models, upstreams and routes. A change is audited and reaches the gateways within a second."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User, audit
from catalog.alias_admin import AliasAdmin
from catalog.aliases import check_free
from catalog.catalog_admin import CatalogAdmin, SoldAdmin
from catalog.changes import announce
from catalog.models import FAMILIES, Alias, Model, Route, Upstream
from catalog.parameters import listed

__all__ = ["AliasAdmin", "ModelAdmin", "RouteAdmin", "UpstreamAdmin"]

if TYPE_CHECKING:
    UpstreamFormBase = forms.ModelForm[Upstream]
    ModelFormBase = forms.ModelForm[Model]
    Inline = admin.TabularInline[Route, Model]
else:
    UpstreamFormBase = ModelFormBase = forms.ModelForm
    Inline = admin.TabularInline


class UpstreamForm(UpstreamFormBase):
    """The credential goes in and never comes out."""

    new_credential = forms.CharField(
        required=False,
        strip=True,
        label="Credential",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="The bearer token for the upstream. Stored encrypted, never shown. Empty keeps what is stored.",
    )
    forget_credential = forms.BooleanField(required=False, label="Forget the stored credential")

    class Meta:
        model = Upstream
        fields = ("name", "base_url", "convention", "idle_seconds", "most_at_once", "enabled")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("new_credential") and cleaned.get("forget_credential"):
            self.add_error("forget_credential", "Either enter a new credential or forget the stored one.")
        return cleaned


@admin.register(Upstream)
class UpstreamAdmin(CatalogAdmin):
    form = UpstreamForm
    noun = "upstream"
    list_display = ("name", "base_url", "convention", "enabled", "has_credential")
    fields = (*UpstreamForm.Meta.fields, "new_credential", "forget_credential")

    @admin.display(boolean=True, description="credential")
    def has_credential(self, upstream: Upstream) -> bool:
        return bool(upstream.credential_encrypted)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        if form.cleaned_data["new_credential"]:
            obj.credential = form.cleaned_data["new_credential"]
        elif form.cleaned_data["forget_credential"]:
            obj.credential = ""
        super().save_model(request, obj, form, change)
        if form.cleaned_data["new_credential"] or form.cleaned_data["forget_credential"]:
            audit.record(
                "upstream.credential",
                f"upstream:{obj}",
                actor=request.user if isinstance(request.user, User) else None,
                now=timezone.now(),
                after={"credential": "set" if obj.credential_encrypted else "forgotten"},
            )

    def audited(self, obj: Upstream) -> dict[str, Any]:
        return {name: getattr(obj, name) for name in UpstreamForm.Meta.fields}


class ListedField(forms.JSONField):
    """A list of short texts, written with commas between them."""

    widget = forms.TextInput

    def to_python(self, value: Any) -> Any:
        return listed(value) if isinstance(value, str) else value

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != listed(data or ""))


class ModelForm(ModelFormBase):
    families = forms.MultipleChoiceField(
        choices=list(FAMILIES.items()), widget=forms.CheckboxSelectMultiple, label="Serves"
    )

    class Meta:
        model = Model
        fields = (
            "public_id",
            "name",
            "owned_by",
            "description",
            "families",
            "context_window",
            "max_output_tokens",
            "aspect_ratios",
            "image_sizes",
            "most_images",
            "hides_reasoning",
            "enabled",
            "visibility",
            "deprecated_at",
            "shut_down_at",
            "successor",
        )
        field_classes: ClassVar = {"aspect_ratios": ListedField, "image_sizes": ListedField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        unknown = [family for family in self.instance.families or [] if family not in FAMILIES]
        self.fields["families"].choices = [*FAMILIES.items(), *((name, name) for name in unknown)]  # type: ignore[attr-defined]

    def clean_public_id(self) -> str:
        public_id: str = self.cleaned_data["public_id"]
        check_free(public_id, Alias)
        return public_id


class RouteInline(Inline):
    model = Route
    can_delete = False

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """A new model has room for its route, without JavaScript too."""
        return 0 if obj else 1


@admin.register(Model)
class ModelAdmin(SoldAdmin):
    form = ModelForm
    noun = "model"
    audited_fields = (
        "public_id",
        "name",
        "owned_by",
        "description",
        "families",
        "context_window",
        "max_output_tokens",
        "aspect_ratios",
        "image_sizes",
        "most_images",
        "hides_reasoning",
        "enabled",
        "visibility",
        "deprecated_at",
        "shut_down_at",
        "successor",
    )
    fields = audited_fields
    list_display = ("public_id", "name", "enabled", "visibility", "deprecated_at", "shut_down_at", "context_window")
    list_filter = ("enabled", "visibility")
    autocomplete_fields = ("successor",)
    search_fields = ("public_id", "name")
    inlines = (RouteInline,)

    def audited(self, obj: Model) -> dict[str, Any]:
        kept = super().audited(obj)
        moments = {name: at.isoformat() for name in ("deprecated_at", "shut_down_at") if (at := kept[name])}
        return {**kept, **moments, "successor": obj.successor.public_id if obj.successor else None}

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Routes beneath the model are audited one by one, as on their own page."""
        changed = {route.pk: fields for route, fields in _stored(formset)}
        super().save_formset(request, form, formset, change)
        for route in [*formset.new_objects, *(route for route, _ in formset.changed_objects)]:
            audit.record(
                "route.change" if route.pk in changed else "route.create",
                f"route:{route}"[:120],
                actor=request.user if isinstance(request.user, User) else None,
                now=timezone.now(),
                before=changed.get(route.pk),
                after=_route(route),
            )
        announce(timezone.now())


@admin.register(Route)
class RouteAdmin(CatalogAdmin):
    noun = "route"
    list_display = ("model", "upstream", "upstream_model", "priority", "weight", "enabled")
    list_filter = ("enabled", "upstream")
    list_select_related = ("model", "upstream")

    def audited(self, obj: Route) -> dict[str, Any]:
        return _route(obj)


def _route(route: Route) -> dict[str, Any]:
    return {
        "model": route.model.public_id,
        "upstream": route.upstream.name,
        "upstream_model": route.upstream_model,
        "priority": route.priority,
        "weight": route.weight,
        "enabled": route.enabled,
    }


def _stored(formset: Any) -> list[tuple[Route, dict[str, Any]]]:
    pks = [form.instance.pk for form in formset.initial_forms]
    return [(route, _route(route)) for route in Route.objects.filter(pk__in=pks).select_related("model", "upstream")]

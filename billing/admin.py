"""Money and usage, to look at. What was posted is never edited: staff pages post another transaction instead."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin
from billing.models import (
    CreditGrant,
    LedgerEntry,
    LedgerTransaction,
    Price,
    PriceVersion,
    QuarantinedLine,
    Segment,
    UsageEvent,
)

if TYPE_CHECKING:
    Inline = admin.TabularInline[Any, Any]
else:
    Inline = admin.TabularInline


class ReadOnlyInline(Inline):
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class EntryInline(ReadOnlyInline):
    model = LedgerEntry


class PriceInline(ReadOnlyInline):
    model = Price


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    list_display = ("operation_key", "kind", "organization", "event_day", "posted_at", "actor")
    list_select_related = ("organization", "actor")
    list_filter = ("kind",)
    search_fields = ("operation_key", "organization__public_id")
    inlines = (EntryInline,)
    show_full_result_count = False


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnlyAdmin):
    list_display = ("organization", "source", "amount_nanos", "remaining_nanos", "granted_at", "expires_at")
    list_select_related = ("organization",)
    list_filter = ("source",)


@admin.register(PriceVersion)
class PriceVersionAdmin(ReadOnlyAdmin):
    list_display = ("model", "effective_from", "created_by", "reason", "superseded_at")
    list_select_related = ("model", "created_by")
    list_filter = ("model",)
    inlines = (PriceInline,)


@admin.register(Segment)
class SegmentAdmin(ReadOnlyAdmin):
    list_display = ("identity", "source", "received_at", "posted_at", "lines", "new", "duplicate", "quarantined")
    list_filter = ("origin", ("posted_at", admin.EmptyFieldListFilter))
    search_fields = ("identity", "source")
    show_full_result_count = False


@admin.register(QuarantinedLine)
class QuarantinedLineAdmin(ReadOnlyAdmin):
    list_display = ("segment", "line", "reason", "detail", "resolved_at")
    list_select_related = ("segment",)
    list_filter = ("reason", ("resolved_at", admin.EmptyFieldListFilter))
    fields = ("segment", "line", "reason", "detail", "text", "resolved_at", "replay")
    readonly_fields = ("text",)
    show_full_result_count = False

    @admin.display(description="line as received")
    def text(self, line: QuarantinedLine) -> str:
        return bytes(line.raw).decode("utf-8", "replace")


@admin.register(UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "time", "organization", "model", "endpoint", "outcome", "charge_nanos")
    list_select_related = ("organization", "model")
    ordering = ("-id",)
    show_full_result_count = False
    list_per_page = 50

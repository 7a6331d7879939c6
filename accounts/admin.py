"""The back office. Nothing with a history is deleted here, and every change leaves an entry in the audit trail."""

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Alarm, ApiKey, AuditEntry, Membership, Organization, User, audit

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = admin.ModelAdmin


class ReadOnlyAdmin(Admin):
    """Looking, nothing else."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AuditedAdmin(Admin):
    """Changes go to the audit trail in the transaction that makes them; deleting isn't offered."""

    # The first word of the action: `user.change`.
    noun = ""
    audited_fields: tuple[str, ...] = ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        stored = type(obj).objects.filter(pk=obj.pk).first() if change else None
        before = self.audited(stored) if stored else {}
        super().save_model(request, obj, form, change)
        after = self.audited(obj)
        changed = [name for name in after if before.get(name) != after[name]]
        audit.record(
            f"{self.noun}.{'change' if change else 'create'}",
            f"{self.noun}:{obj}"[:120],
            actor=request.user if isinstance(request.user, User) else None,
            now=timezone.now(),
            before={name: before[name] for name in changed if name in before},
            after={name: after[name] for name in changed},
        )

    def audited(self, obj: Any) -> dict[str, Any]:
        """What the audit trail keeps of it, as JSON values; never a secret."""
        return {name: getattr(obj, name) for name in self.audited_fields}


@admin.register(User)
class UserAdmin(AuditedAdmin):
    noun = "user"
    audited_fields = ("email", "is_active", "is_staff", "is_superuser")
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email",)
    ordering = ("-id",)
    fields = ("email", "is_active", "is_staff", "is_superuser", "date_joined", "last_login")
    readonly_fields = ("date_joined", "last_login")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """People sign up."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Only superusers make others staff."""
        granting = () if getattr(request.user, "is_superuser", False) else ("is_staff", "is_superuser")
        return ("email", *granting, *self.readonly_fields)


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "created_at", "suspended_at")
    search_fields = ("name", "public_id")


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "organization__name")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "organization", "created_at", "expires_at", "revoked_at")
    list_select_related = ("organization",)
    search_fields = ("name", "public_id")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "actor_key", "action", "target", "organization")
    list_select_related = ("actor", "actor_key", "organization")
    list_filter = ("staff",)
    search_fields = ("action", "target")


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = ("kind", "subject", "count", "raised_at", "last_seen_at", "closed_at", "closed_by")
    list_filter = (("closed_at", admin.EmptyFieldListFilter),)


# Changes of these would leave no entry in the audit trail, and some of their fields are secrets.
for registered in (Group, EmailAddress, EmailConfirmation, Authenticator, UserSession):
    if admin.site.is_registered(registered):
        admin.site.unregister(registered)
admin.site.site_header = admin.site.site_title = "Back office"
admin.site.site_url = "/staff/"

"""Ending a kind of notice from a mail, without signing in: the link proves who it was sent to."""

from django.conf import settings
from django.core import signing
from django.urls import reverse

from accounts.models import Membership
from billing.models import NoticeKind
from billing.notices.kinds import choose

SALT = "billing.notices.stop"


class BadLinkError(ValueError):
    """A link that wasn't made here, or whose membership is gone."""


def link(member: Membership, kind: NoticeKind) -> str:
    token = signing.dumps([member.pk, kind.value], salt=SALT)
    return f"{settings.CONSOLE_URL}{reverse('notice_stop', kwargs={'token': token})}"


def read(token: str) -> tuple[Membership, NoticeKind]:
    """Whose link it is, and of which kind. Raises BadLinkError."""
    try:
        pk, kind = signing.loads(token, salt=SALT)
        return Membership.objects.select_related("organization", "user").get(pk=pk), NoticeKind(kind)
    except (signing.BadSignature, Membership.DoesNotExist, ValueError, TypeError) as error:
        raise BadLinkError from error


def stop(member: Membership, kind: NoticeKind) -> None:
    choose(member, {kind: False})

"""Sending a notice to one person, once: while its row is locked, and noted in the same transaction.

Killed between the two, the mail goes out again under the same Message-ID, by which mail programs know it.
"""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F, Q
from django.template.loader import render_to_string

from accounts.models import alarm
from billing.models import NoticeKind, NoticeMail
from billing.notices import stopping
from billing.notices.kinds import wanted

log = structlog.get_logger(__name__)

# A mail that couldn't be sent is tried again after this, so often, and after so many times staff hear of it.
AGAIN = timedelta(minutes=5)
MOST_ATTEMPTS = 200
ALARMING = 5


def send(mail_id: int, now: datetime) -> bool:
    """Send one; whether it was sent now. False where it was before, or another process has it in hand."""
    waiting = NoticeMail.objects.filter(pk=mail_id, sent_at=None)
    try:
        with transaction.atomic():
            mail = (
                waiting.select_for_update(skip_locked=True, of=["self"])
                .select_related("notice__organization", "membership__user")
                .first()
            )
            if mail is None:
                return False
            if wanted(mail.membership)[NoticeKind(mail.notice.kind)] and mail.membership.user.is_active:
                _message(mail).send()
            else:
                mail.delete()
                return False
            mail.sent_at = now
            mail.save(update_fields=["sent_at"])
    except OSError as error:
        # SMTP's errors are of this kind, too.
        _failed(mail_id, now, error)
        return False
    return True


def unsent(now: datetime) -> list[int]:
    """Mails that wait although somebody should have sent them."""
    late = Q(tried_at=None, notice__noticed_at__lt=now - timedelta(minutes=1)) | Q(tried_at__lt=now - AGAIN)
    waiting = NoticeMail.objects.filter(late, sent_at=None, attempts__lt=MOST_ATTEMPTS)
    return list(waiting.order_by("id").values_list("pk", flat=True)[:1000])


def _failed(mail_id: int, now: datetime, error: OSError) -> None:
    NoticeMail.objects.filter(pk=mail_id).update(attempts=F("attempts") + 1, tried_at=now)
    attempts = NoticeMail.objects.values_list("attempts", flat=True).get(pk=mail_id)
    log.warning("notice not sent", mail=mail_id, attempts=attempts, error=str(error))
    if attempts >= ALARMING:
        detail = f"{type(error).__name__}: {str(error)[:300]}. Notices to customers wait; they are tried again."
        alarm.raise_alarm("mail_fails", "notices", detail, now=now)


def _message(mail: NoticeMail) -> EmailMessage:
    notice, kind = mail.notice, NoticeKind(mail.notice.kind)
    stop = stopping.link(mail.membership, kind)
    context: dict[str, Any] = {
        "notice": notice,
        "facts": notice.facts,
        "organization": notice.organization,
        "console": settings.CONSOLE_URL,
        "product": settings.PRODUCT_NAME,
        "stop": stop,
    }
    text = render_to_string(f"notices/{kind.value}.txt", context)
    subject, _, body = text.lstrip().partition("\n")
    host = urlsplit(settings.CONSOLE_URL).hostname or "localhost"
    return EmailMessage(
        f"{settings.EMAIL_SUBJECT_PREFIX}{' '.join(subject.split())}",
        body.strip() + "\n",
        to=[mail.membership.user.email],
        headers={
            "Message-ID": f"<notice-{mail.pk}@{host}>",
            "List-Unsubscribe": f"<{stop}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
        },
    )

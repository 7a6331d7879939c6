from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail

from accounts.models import Alarm, User


@shared_task
def mail_alarm(alarm_id: int) -> None:
    """Tell staff of an alarm; the page has it all the same, where mail can't be sent."""
    alarm = Alarm.objects.get(pk=alarm_id)
    staff = User.objects.filter(is_staff=True, is_active=True).values_list("email", flat=True)
    body = f"{alarm.subject}\n\n{alarm.detail}\n\n{settings.CONSOLE_URL}/staff/ has it until somebody closes it.\n"
    send_mail(f"{settings.EMAIL_SUBJECT_PREFIX}Alarm: {alarm.kind}", body, None, list(staff))

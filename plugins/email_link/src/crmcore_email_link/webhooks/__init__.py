"""Webhooks: what providers tell of mails afterwards, verified and read into `Feedback`."""

from crmcore_email_link.webhooks.feedback import (
    Feedback,
    FeedbackRefusedError,
    Kind,
    Webhook,
    standing,
)
from crmcore_email_link.webhooks.mailgun import MailgunWebhook
from crmcore_email_link.webhooks.postmark import PostmarkWebhook
from crmcore_email_link.webhooks.resend import ResendWebhook
from crmcore_email_link.webhooks.sendgrid import SendGridWebhook
from crmcore_email_link.webhooks.ses import SesWebhook

__all__ = [
    "Feedback",
    "FeedbackRefusedError",
    "Kind",
    "MailgunWebhook",
    "PostmarkWebhook",
    "ResendWebhook",
    "SendGridWebhook",
    "SesWebhook",
    "Webhook",
    "standing",
]

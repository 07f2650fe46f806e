"""Transports: whoever carries a composed mail, behind one protocol."""

from crmcore_email_link.transports.conversation import Relay
from crmcore_email_link.transports.envelope import Envelope, Transport
from crmcore_email_link.transports.mailgun import Mailgun
from crmcore_email_link.transports.postmark import Postmark
from crmcore_email_link.transports.resend import Resend
from crmcore_email_link.transports.routes import by_mx, by_provider
from crmcore_email_link.transports.sendgrid import SendGrid
from crmcore_email_link.transports.ses import Ses
from crmcore_email_link.transports.sigv4 import Credentials
from crmcore_email_link.transports.smtp import Smtp

__all__ = [
    "Credentials",
    "Envelope",
    "Mailgun",
    "Postmark",
    "Relay",
    "Resend",
    "SendGrid",
    "Ses",
    "Smtp",
    "Transport",
    "by_mx",
    "by_provider",
]

"""Templates: mails written once in MJML or HTML, and rendered for each recipient in a sandbox."""

from crmcore_email_link.templates.budget import Limits
from crmcore_email_link.templates.checking import Finding
from crmcore_email_link.templates.errors import RenderError, TemplateError
from crmcore_email_link.templates.linting import Report, lint
from crmcore_email_link.templates.localised import LocalisedTemplate
from crmcore_email_link.templates.plaintext import text_of_html
from crmcore_email_link.templates.previewing import HEADERS, anonymous, content_ids, page
from crmcore_email_link.templates.template import MailTemplate, Rendered

__all__ = [
    "HEADERS",
    "Finding",
    "Limits",
    "LocalisedTemplate",
    "MailTemplate",
    "RenderError",
    "Rendered",
    "Report",
    "TemplateError",
    "anonymous",
    "content_ids",
    "lint",
    "page",
    "text_of_html",
]

"""Pages: what customers see when they follow a link of a mail, for any web framework or none."""

from crmcore_email_link.pages.exchange import Request, Response
from crmcore_email_link.pages.mounting import asgi_app, wsgi_app
from crmcore_email_link.pages.site import Pages

__all__ = ["Pages", "Request", "Response", "asgi_app", "wsgi_app"]

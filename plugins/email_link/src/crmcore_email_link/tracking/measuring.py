"""Measuring: what is put into the mail of somebody who allowed it, and into nobody else's."""

from __future__ import annotations

from html import escape
from typing import Final

from attrs import evolve, frozen

from crmcore import Content
from crmcore_email_link.tracking.destinations import MOST_LINKS, Destinations
from crmcore_email_link.tracking.wrapping import (
    links_in_html,
    links_in_text,
    put_last,
    replaced,
)

WAYS_OUT: Final = {
    "en": "Do not measure opens and clicks",
    "de": "Öffnen und Klicks nicht messen",
    "zh": "不统计打开和点击",
}
"""What the link is called by which somebody ends it, in each language."""


@frozen(kw_only=True)
class Measure:
    """
    Makes mails of which it can be told whether they are opened and their links followed.

    Attributes:
        destinations: Makes the links.
        opens: Whether opening is told, too, and not links alone.
    """

    destinations: Destinations
    opens: bool

    def into(self, content: Content, message_id: int, at: int, language: str) -> Content:
        """Return a message with its links wrapped, a pixel, and a link that ends all of that."""
        wrapped = self._wrapped(content, message_id, at)
        has_pixel = self.opens and content.html is not None
        if wrapped is content and not has_pixel:
            return content
        links = self.destinations.links
        label = WAYS_OUT.get(language.partition("-")[0], WAYS_OUT["en"])
        url = links.of("tracking", message_id, at)
        text, html = wrapped.text, wrapped.html
        if url not in text:
            text = f"{text.rstrip()}\n\n{label}: {url}\n"
        if html is not None and escape(url) not in html:
            html = put_last(
                html,
                f'<p style="font-size:small"><a href="{escape(url)}">{escape(label)}</a></p>',
            )
        if html is not None and has_pixel:
            pixel = links.of("open", message_id, at)
            html = put_last(
                html, f'<img src="{escape(pixel)}" width="1" height="1" alt="" border="0">'
            )
        return evolve(wrapped, text=text, html=html)

    def _wrapped(self, content: Content, message_id: int, at: int) -> Content:
        """Return a message whose links lead by way of the shop; itself, where none does."""
        html, text, to = content.html or "", content.text, self.destinations
        spots = (*links_in_html(html), *links_in_text(text))
        urls = list(dict.fromkeys(spot.url for spot in spots if to.may_wrap(spot.url)))
        places = {url: place for place, url in enumerate(urls[:MOST_LINKS], start=1)}
        if not places:
            return content

        def wrap(url: str) -> str | None:
            if url not in places:
                return None
            return to.wrap(message_id, places[url], len(places), url, at)

        return evolve(
            content,
            text=replaced(text, links_in_text(text), wrap, is_html=False),
            html=replaced(html, links_in_html(html), wrap, is_html=True) if content.html else None,
        )

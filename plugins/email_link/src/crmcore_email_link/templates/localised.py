"""Localised templates: one for each language, and which of them a customer gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from crmcore.errors import nearest
from crmcore_email_link.templates.errors import TemplateError
from crmcore_email_link.templates.template import MailTemplate


def _folded(templates: Mapping[str, MailTemplate]) -> dict[str, MailTemplate]:
    return {language.replace("_", "-").lower(): each for language, each in templates.items()}


@frozen
class LocalisedTemplate:
    """
    A mail in several languages.

    A customer who reads `de-AT` gets the template for `de-AT`, or else `de`, or else the first of
    the fallbacks that there is (lookup of RFC 4647, 3.4).

    Attributes:
        name: By which errors call it.
        templates: By language, such as `de` or `zh-Hant`.
        fallbacks: Languages for those whose own there is none of, the best first.
    """

    name: str
    templates: Mapping[str, MailTemplate] = field(converter=_folded)
    fallbacks: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        if not self.templates:
            raise TemplateError(
                "it is in no language; one at least is expected", template=self.name
            )
        for each in self.fallbacks:
            if each.lower() not in self.templates:
                raise TemplateError(
                    f"it falls back to {each!r}, which it is not in{nearest(each, self.templates)}",
                    template=self.name,
                )

    def language_for(self, locale: str | None) -> str:
        """Return which of its languages somebody gets, such as `de`."""
        for each in _wider(locale or ""):
            if each in self.templates:
                return each
        for each in self.fallbacks:
            return each.lower()
        return next(iter(self.templates))

    def choose(self, locale: str | None) -> MailTemplate:
        """Return the template for somebody; None: their language is not known."""
        return self.templates[self.language_for(locale)]


def _wider(locale: str) -> Iterator[str]:
    """Go from a locale to ever wider ones: `zh-Hant-TW`, `zh-Hant`, `zh`."""
    parts = locale.replace("_", "-").split(".")[0].lower().split("-")
    while parts and parts[0]:
        yield "-".join(parts)
        parts.pop()
        if len(parts) > 1 and len(parts[-1]) == 1:  # RFC 4647, 3.4: a lone letter says nothing
            parts.pop()

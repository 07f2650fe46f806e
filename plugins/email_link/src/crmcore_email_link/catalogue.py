"""The catalogue: which templates there are, by name, from a folder and from code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import field, frozen

from crmcore.errors import ConfigurationError, InputError, nearest
from crmcore_email_link.letters import own_letters
from crmcore_email_link.mime import Image
from crmcore_email_link.templates import LocalisedTemplate, MailTemplate, content_ids

_SUBJECT: Final = "subject"
_BODIES: Final = ("html", "mjml", "txt")
_IMAGES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
}
"""What images in the folder are, by how their names end."""


@frozen
class Catalogue:
    """
    The shop's templates and the plugin's own.

    Attributes:
        templates: By name.
        images: That mails may bring along, by content id: the name of the file.
    """

    templates: Mapping[str, LocalisedTemplate]
    images: Mapping[str, Image] = field(factory=dict)

    def choose(self, name: object, language: str | None) -> MailTemplate:
        """
        Return a template in the language nearest to one.

        Raises:
            InputError: If there is none of that name.
        """
        found = self.templates.get(name) if isinstance(name, str) else None
        if found is None:
            raise InputError(
                f"no template is called {name!r}{nearest(name, self.templates)}; one of "
                f"{', '.join(sorted(self.templates))} is expected"
            )
        return found.choose(language)

    def images_in(self, html: str | None) -> tuple[Image, ...]:
        """Return the images that a mail shows by `cid:` and that are there, in their order."""
        if html is None or not self.images:
            return ()
        return tuple(self.images[cid] for cid in content_ids(html) if cid in self.images)


def catalogue(
    folder: str | None,
    languages: Sequence[str],
    given: Mapping[str, LocalisedTemplate | MailTemplate] | None = None,
) -> Catalogue:
    """
    Return the templates of a folder, those given in code, and the plugin's own.

    In the folder a mail is files named after it and its language: `news.de.subject`, and
    `news.de.mjml` or `news.de.html`, and perhaps `news.de.txt`. An image there, such as
    `logo.png`, goes along with each mail that shows it: `<img src="cid:logo.png">`.

    Raises:
        ConfigurationError: If the folder is not there, or a mail has no subject.
        TemplateError: If one cannot be compiled.
    """
    found = own_letters()
    images: dict[str, Image] = {}
    if folder is not None:
        found |= _of_folder(Path(folder), languages)
        images = _images_of(Path(folder))
    for name, each in (given or {}).items():
        found[name] = (
            each
            if isinstance(each, LocalisedTemplate)
            else LocalisedTemplate(name, {languages[0]: each})
        )
    return Catalogue(found, images)


def _images_of(folder: Path) -> dict[str, Image]:
    found = {}
    for path in sorted(folder.iterdir()):
        media_type = _IMAGES.get(path.suffix.lower())
        if media_type is not None:
            try:
                found[path.name] = Image(path.name, path.read_bytes(), media_type)
            except InputError as error:
                raise ConfigurationError(
                    f"an image of the templates is not right: {error}"
                ) from error
    return found


def _of_folder(folder: Path, languages: Sequence[str]) -> dict[str, LocalisedTemplate]:
    if not folder.is_dir():
        raise ConfigurationError(
            f"templates is {str(folder)!r}; a folder that is there is expected"
        )
    mails: dict[str, dict[str, dict[str, str]]] = {}
    for path in sorted(folder.iterdir()):
        parts = path.name.rsplit(".", 2)
        if len(parts) == 3 and parts[2] in (_SUBJECT, *_BODIES):
            name, language, kind = parts
            text = path.read_text(encoding="utf-8")
            mails.setdefault(name, {}).setdefault(language, {})[kind] = text
    return {name: _localised(name, found, languages) for name, found in mails.items()}


def _localised(
    name: str, found: Mapping[str, Mapping[str, str]], languages: Sequence[str]
) -> LocalisedTemplate:
    templates = {}
    for language, parts in found.items():
        if _SUBJECT not in parts:
            raise ConfigurationError(
                f"the template {name}.{language} has no subject; a file {name}.{language}."
                f"{_SUBJECT} is expected beside it"
            )
        templates[language] = MailTemplate(
            f"{name}.{language}",
            subject=parts[_SUBJECT].strip(),
            html=parts.get("mjml", parts.get("html")),
            text=parts.get("txt"),
        )
    fallbacks = [each for each in languages if each in templates]
    return LocalisedTemplate(name, templates, fallbacks=fallbacks)

"""What is installed: plugins and commands found by entry point, none of them imported."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple, Self

PLUGINS: Final = "crmcore.plugins"
COMMANDS: Final = "crmcore.commands"


class Installed(NamedTuple):
    """An entry point, and the distribution that brings it."""

    name: str
    distribution: str
    version: str
    summary: str
    point: EntryPoint

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the core, such as a channel, and is there only if asked for."""
        return self.distribution == "crmcore"

    @classmethod
    def of(cls, group: str) -> list[Self]:
        """Return what is installed in *group*, by name."""
        found = []
        for point in entry_points(group=group):
            said = point.dist.metadata if point.dist else Message()
            found.append(
                cls(
                    name=point.name,
                    distribution=said["Name"] or "a package without a name",
                    version=said["Version"] or "",
                    summary=said["Summary"] or "",
                    point=point,
                )
            )
        return sorted(found, key=lambda each: (each.name, each.distribution))

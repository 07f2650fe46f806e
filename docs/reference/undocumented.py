"""What lacks its documentation; a test holds that nothing does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Final

import click

from docs.reference.docstrings import Docstring, below, own_docstring
from docs.reference.subjects import fields_of, function_of, members_of, options_of

_CALLED: Final = re.compile(r"\b[Cc]alled\b")
_RAISES: Final = re.compile(r"\b[Rr]ais(?:es|ing)\b")


def of_hook(hook: Callable[..., Any]) -> Iterator[str]:
    """Yield what a hook's docstring does not say: when it is called, what an exception does."""
    name, text = hook.__qualname__, own_docstring(hook)
    if not text:
        yield f"{name} has no docstring"
        return
    if not _CALLED.search(text):
        yield f"{name} does not say when it is called"
    if not _RAISES.search(text):
        yield f"{name} does not say what happens if the plugin raises"


def of_values(cls: type) -> Iterator[str]:
    """Yield the fields of a class that nothing is said of, beginning with the class itself."""
    doc, texts = Docstring.of(cls), below(cls)
    if not own_docstring(cls):
        yield f"{cls.__name__} has no docstring"
    in_passing = doc.text if "Attributes" not in doc.named else ""
    for each in fields_of(cls):
        said = doc.says("Attributes", each.name) or f"*{each.name}*" in in_passing
        if each.init and not said and each.name not in texts:
            yield f"{cls.__name__}.{each.name} is not described"
    known = {each.name for each in fields_of(cls)} | set(members_of(cls))
    for name in doc.named.get("Attributes", {}):
        if name not in known:
            yield f"{cls.__name__} describes {name}, which it does not have"


def of_members(cls: type) -> Iterator[str]:
    """Yield the public methods of a class that nothing is said of, and arguments left out."""
    for name, (owner, member) in members_of(cls).items():
        if not own_docstring(function_of(member)) and name not in below(owner):
            yield f"{owner.__name__}.{name} has no docstring"
        elif not isinstance(member, property):
            yield from of_arguments(function_of(member))


def of_arguments(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the arguments that are missing in a section `Args:`, where there is one."""
    said = Docstring.of(function).named.get("Args")
    if said is None:
        return
    taken = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    text = function.__doc__ or ""
    for name in taken:
        if name not in said and f"*{name}*" not in text:
            yield f"{function.__qualname__} does not say what {name} is"
    for name in said:
        if name not in taken:
            yield f"{function.__qualname__} describes {name}, which it does not take"


def of_command(words: str, command: click.Command) -> Iterator[str]:
    """Yield a command without help, and its options without."""
    if not (command.help or "").strip():
        yield f"{words} has no help"
    for option in options_of(command):
        if not (option.help or "").strip():
            yield f"{words} {option.opts[-1]} has no help"


def of_name(name: str, thing: Any, homes: Iterable[ModuleType]) -> Iterator[str]:
    """Yield a public name of which neither a docstring nor a text below it says anything."""
    if isinstance(thing, type) or inspect.isfunction(thing):
        missing = not own_docstring(thing)
    else:
        missing = not any(name in below(home) for home in homes)
    if missing:
        yield f"{name} is public, and nothing is said of it"

"""Writing: Markdown for signatures, docstrings and tables, with links between names."""

from __future__ import annotations

import inspect
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import attrs
from attrs import field, frozen

from docs.reference.docstrings import Docstring, below
from docs.reference.subjects import fields_of, function_of

_WIDTH: Final = 88
_NAME: Final = re.compile(r"(?<![\[`])`([A-Za-z_][\w.]*)`(?!`)")
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_TYPES: Final = {
    "Any": "",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list[str]": "a list of text",
    "tuple[str, ...]": "a list of text",
    "dict[str, str]": "a table of text",
    "dict[str, int]": "a table of whole numbers",
    "Mapping[str, str]": "text",
}


@frozen(kw_only=True)
class Page:
    """
    One page of the reference.

    Attributes:
        path: Below the folder of the documentation, such as `reference/kinds.md`.
        title: As the navigation shows it.
        text: In Markdown, its heading included.
    """

    path: str
    title: str
    text: str


@frozen
class Writer:
    """
    Writes one page, and knows where names are described.

    Attributes:
        path: The page's own.
        homes: By name: the page and the anchor where it is described.
    """

    path: str
    homes: Mapping[str, str] = field(factory=dict, repr=False)

    def link(self, name: str) -> str:
        """Return a name as code, and as a link if it is described somewhere."""
        home = self.homes.get(name)
        return f"`{name}`" if home is None else f"[`{name}`]({self._to(home)})"

    def linked(self, text: str) -> str:
        """Return *text* with links from the names in it, but not inside of blocks of code."""
        parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
        return "".join(
            part if part.startswith("```") else _NAME.sub(lambda found: self.link(found[1]), part)
            for part in parts
        )

    def prose(self, doc: Docstring) -> str:
        """Return the text of a docstring, its examples as blocks of code."""
        return self.linked(_examples(doc.text))

    def sections(self, doc: Docstring) -> list[str]:
        """Return what a docstring says of arguments, errors, what is returned, and sources."""
        found = []
        for section, title in (("Args", "Argument"), ("Raises", "Raises")):
            if section in doc.named:
                said = doc.named[section].items()
                rows = [(self.link(name), self.linked(text)) for name, text in said]
                found.append(table([title, "Meaning"], rows))
        for section, text in doc.other.items():
            found.append(f"**{section}:** {self.linked(text)}")
        return found

    def fields(self, cls: type) -> str:
        """Return a table of a class's fields: name, type, default and meaning."""
        doc, texts, hints = Docstring.of(cls), below(cls), hints_of(cls)
        rows = []
        for each in fields_of(cls):
            if each.init:
                said = doc.says("Attributes", each.name) or texts.get(each.name, "")
                said = self.linked(" ".join(said.split()))
                kind = _with_choices(str(each.type), hints.get(each.name))
                rows.append((f"`{each.name}`", kind, default_of(each), said))
        if not any(default for _, _, default, _ in rows):
            short = [(name, kind, said) for name, kind, _, said in rows]
            return table(["Field", "Type", "Meaning"], short)
        return table(["Field", "Type", "Default", "Meaning"], rows)

    def _to(self, home: str) -> str:
        page, _, anchor = home.partition("#")
        to = posixpath.relpath(page, posixpath.dirname(self.path)) if page != self.path else ""
        return f"{to}#{anchor}" if anchor else to


def signature(function: Any, name: str = "", *, is_property: bool = False) -> str:
    """Return a block of code with the signature of a function, without `self`."""
    inner = function_of(function)
    found = inspect.signature(inner)
    parameters = [each for key, each in found.parameters.items() if key not in ("self", "cls")]
    said = _ADDRESS.sub("", str(found.return_annotation))
    is_silent = found.return_annotation is found.empty or inner.__name__ == "__init__"
    returns = "" if is_silent else f" -> {said}"
    name = name or inner.__name__
    if is_property:
        return f"```python\n{name}: {said}\n```"
    line = f"{name}{_line(parameters)}{returns}"
    if len(line) > _WIDTH:
        lines = [f"    {each}," for each in _parameters(parameters)]
        line = "\n".join([f"{name}(", *lines, f"){returns}"])
    return f"```python\n{line}\n```"


def default_of(attribute: attrs.Attribute[Any]) -> str:
    """Return a field's default as code; nothing if it has none."""
    default: Any = attribute.default
    if default is attrs.NOTHING:
        return ""
    if hasattr(default, "factory"):
        default = "" if default.takes_self else default.factory()
        return "" if default == "" else code(repr(default))
    return code(repr(default))


def hints_of(cls: type) -> Mapping[str, Any]:
    """Return the types of a class's fields; none, where only a type checker understands them."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError):  # imported for checkers only; or a field is named as its type is
        return {}


def _with_choices(annotation: str, hint: Any) -> str:
    """Return a type, and what it can be, where that is a fixed choice under another name."""
    if get_origin(hint) is not Literal or annotation.startswith("Literal"):
        return code(annotation)
    return f"{code(annotation)}: {', '.join(code(str(each)) for each in get_args(hint))}"


def plain_type(hint: Any, annotation: Any) -> str:
    """Return a type in the words of somebody who writes a file; of a fixed choice, the choices."""
    if get_origin(hint) is Literal:
        return " or ".join(code(str(each)) for each in get_args(hint))
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if not text or get_args(annotation):
        text = str(annotation)
    text = re.sub(r"\b(?:\w+\.)*Erased \| ?| ?\| (?:\w+\.)*Erased\b| ?\| None\b", "", text)
    if re.fullmatch(r"list\[\w+\]|tuple\[\w+, \.\.\.\]", text) and text not in _TYPES:
        return "tables"
    return _TYPES.get(text, text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; an empty one is nothing."""
    lines = [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    if not lines:
        return ""
    head = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return "\n".join([*head, *lines])


def code(text: str) -> str:
    """Return *text* as code; nothing stays nothing."""
    return f"`{text}`" if text else ""


def joined(parts: Iterable[str]) -> str:
    """Return the parts that there are, an empty line between each two."""
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    # Within code a bar separates nothing, and a backslash would be shown.
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)


def _line(parameters: Sequence[inspect.Parameter]) -> str:
    return f"({', '.join(_parameters(parameters))})"


def _parameters(parameters: Sequence[inspect.Parameter]) -> list[str]:
    found = []
    is_starred = False
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and not is_starred:
            found.append("*")
        is_starred = is_starred or each.kind in (each.VAR_POSITIONAL, each.KEYWORD_ONLY)
        found.append(_parameter(each))
    return found


def _parameter(each: inspect.Parameter) -> str:
    stars = "*" if each.kind is each.VAR_POSITIONAL else ""
    stars = "**" if each.kind is each.VAR_KEYWORD else stars
    kind = "" if each.annotation is each.empty else f": {each.annotation}"
    equals = " = " if kind else "="
    default = (
        "" if each.default is each.empty else f"{equals}{_ADDRESS.sub('', repr(each.default))}"
    )
    return f"{stars}{each.name}{kind}{default}"


def _examples(text: str) -> str:
    """Return *text* with each doctest as a block of code."""
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(
        f"```pycon\n{part}\n```" if part.startswith(">>>") else part for part in paragraphs
    )

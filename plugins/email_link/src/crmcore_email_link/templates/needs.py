"""Needs: which variables a template uses, told from its syntax without rendering it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen
from jinja2 import nodes

Path = tuple[str, ...]
"""The keys that lead to a value, such as `("products", "*", "name")`; `*` is each of a list."""

EACH: Final = "*"

_Keys = dict[str, Any]

_SAME: Final = frozenset("sort list reverse unique select reject selectattr rejectattr".split())
_ITEM: Final = frozenset("first last min max".split())
_BY_PATH: Final = frozenset("map selectattr rejectattr".split())
_METHODS: Final = frozenset("get items keys values".split())
_LOOP: Final = "loop"
_TEXT_METHODS: Final = frozenset(
    "capitalize endswith isdigit lower lstrip removeprefix removesuffix rstrip split startswith "
    "strip title upper isoformat isoweekday weekday".split()
)


@frozen
class Needs:
    """
    What a template needs of each recipient's variables.

    Attributes:
        paths: Those it uses, each with the first line that does; also those it may do without.
        is_all: Whether these are all; otherwise some depend on values, as `prices[size]` does.
    """

    paths: Mapping[Path, int]
    is_all: bool
    _keys: _Keys = field(init=False, repr=False, eq=False)

    @_keys.default
    def _tree_of_paths(self) -> _Keys:
        return _tree(self.paths)

    def uses(self, name: str) -> bool:
        """Return whether a variable is used whose last key is *name*."""
        return any(path[-1] == name for path in self.paths)

    def lacking(self, variables: Mapping[str, Any]) -> list[Path]:
        """Return those that are not there, or None; what is lacking may still not be needed."""
        found: list[Path] = []
        _look(self._keys, variables, (), found)
        return found


def needs_of(trees: Iterable[nodes.Template]) -> Needs:
    """Return what compiled templates need together."""
    walk = _Walk()
    for tree in trees:
        walk.statements(tree.body, {})
    return Needs(walk.paths, walk.is_all)


def _tree(paths: Iterable[Path]) -> _Keys:
    root: _Keys = {}
    for path in paths:
        node = root
        for key in path:
            node = node.setdefault(key, {})
    return root


def _look(keys: _Keys, value: Any, path: Path, found: list[Path]) -> None:
    for key, below in keys.items():
        if key == EACH:
            if not isinstance(value, list | tuple):
                found.append((*path, key))
            elif below:
                for each in value:
                    _look(below, each, (*path, key), found)
        elif not isinstance(value, Mapping) or value.get(key) is None:
            found.append((*path, key))
        elif below:
            _look(below, value[key], (*path, key), found)


_Scope = Mapping[str, Path | None]
"""The names a template gave by itself, with the path to what they stand for, where it is known."""


@define
class _Walk:
    """
    A way through a template.

    Attributes:
        paths: Those found.
        is_all: Whether none was found that cannot be told.
    """

    paths: dict[Path, int] = field(factory=dict)
    is_all: bool = True

    def statements(self, body: Sequence[nodes.Node], scope: _Scope) -> None:
        """Go through statements; what one sets is known to those after it."""
        known = dict(scope)
        for each in body:
            self._statement(each, known)

    def _statement(self, node: nodes.Node, scope: dict[str, Path | None]) -> None:
        match node:
            case nodes.For():
                self._loop(node, scope)
            case nodes.Assign():
                path = self.path(node.node, scope)
                self._bind(node.target, path, scope)
            case nodes.If():
                self._value(node.test, scope)
                for body in (node.body, node.elif_, node.else_):
                    for each in body:  # what a branch sets is seen after it
                        self._statement(each, scope)
            case nodes.With():
                inner = dict(scope)
                for target, value in zip(node.targets, node.values, strict=True):
                    self._bind(target, self.path(value, scope), inner)
                self.statements(node.body, inner)
            case nodes.Macro() | nodes.CallBlock():
                arguments: dict[str, Path | None] = {each.name: None for each in node.args}
                for value in (*node.defaults, *([node.call] if hasattr(node, "call") else [])):
                    self._value(value, scope)
                if isinstance(node, nodes.Macro):
                    scope[node.name] = None
                self.statements(node.body, {**scope, **arguments, "caller": None, "varargs": None})
            case nodes.AssignBlock() | nodes.FilterBlock():
                self.statements(node.body, scope)
                if isinstance(node, nodes.AssignBlock):
                    self._bind(node.target, None, scope)
            case _:
                for each in node.iter_child_nodes():
                    self._value(each, scope)

    def _loop(self, node: nodes.For, scope: _Scope) -> None:
        path = self.path(node.iter, scope)
        item = None if path is None else (*path, EACH)
        if item is not None:
            self.paths.setdefault(item, node.lineno)
        inner = {**scope, _LOOP: None}
        self._bind(node.target, item, inner)
        if node.test is not None:
            self._value(node.test, inner)
        self.statements(node.body, inner)
        self.statements(node.else_, scope)

    def _bind(self, target: nodes.Node, path: Path | None, scope: dict[str, Path | None]) -> None:
        if isinstance(target, nodes.Name):
            scope[target.name] = path
        elif isinstance(target, nodes.Tuple):
            for each in target.items:
                self._bind(each, None, scope)

    def _value(self, node: nodes.Node, scope: _Scope) -> None:
        if isinstance(node, nodes.Expr):
            self.path(node, scope)
        else:
            for each in node.iter_child_nodes():
                self._value(each, scope)

    def path(self, node: nodes.Node, scope: _Scope) -> Path | None:
        """Return the path to what an expression gives, if it is one; note all it uses."""
        match node:
            case nodes.Name():
                if node.name in scope:
                    return scope[node.name]
                return self._used((node.name,), node) if node.name not in _GLOBALS else None
            case nodes.Getattr():
                return self._below(node, node.attr, scope)
            case nodes.Getitem(arg=nodes.Const(value=str(key))):
                return self._below(node, key, scope)
            case nodes.Getitem():
                self._value(node.arg, scope)
                self.is_all = self.is_all and isinstance(node.arg, nodes.Slice | nodes.Const)
                path = self.path(node.node, scope)
                return path if isinstance(node.arg, nodes.Slice) else _each(path)
            case nodes.Filter(node=nodes.Expr() as given):
                return self._filtered(node, given, scope)
            case nodes.Call():
                return self._called(node, scope)
            case nodes.Test(name="defined" | "undefined" | "none"):
                self._tested(node.node, scope)
                return None
        for each in node.iter_child_nodes():
            self._value(each, scope)
        return None

    def _used(self, path: Path, node: nodes.Node) -> Path:
        self.paths.setdefault(path, node.lineno)
        return path

    def _below(self, node: Any, key: str, scope: _Scope) -> Path | None:
        path = self.path(node.node, scope)
        if path is None:
            is_own = isinstance(node.node, nodes.Name) and node.node.name in (_LOOP, "caller")
            self.is_all = self.is_all and is_own
            return None
        return self._used((*path, key), node)

    def _tested(self, node: nodes.Expr, scope: _Scope) -> None:
        """Note what has to be there so that it can be asked whether a value is."""
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            self.path(node.node, scope)
        elif not isinstance(node, nodes.Name):
            self.path(node, scope)

    def _filtered(self, node: nodes.Filter, given: nodes.Expr, scope: _Scope) -> Path | None:
        for each in (*node.args, *node.kwargs):
            self._value(each, scope)
        if node.name in ("default", "d"):
            self._tested(given, scope)
            return None
        path = self.path(given, scope)
        named = [each.value for each in node.kwargs if each.key == "attribute"]
        if node.name in _BY_PATH and not named:
            named = node.args[:1] if node.name != "map" else []
        for each in named:
            if isinstance(each, nodes.Const) and isinstance(each.value, str) and path is not None:
                self._used((*path, EACH, *each.value.split(".")), node)
            else:
                self.is_all = False
        if path is None:
            return None
        return path if node.name in _SAME else _each(path) if node.name in _ITEM else None

    def _called(self, node: nodes.Call, scope: _Scope) -> Path | None:
        for each in (*node.args, *node.kwargs):
            self._value(each, scope)
        called = node.node
        if isinstance(called, nodes.Getattr) and called.attr in _METHODS:
            # Whether it is a method or a key, dicts say: what it gives cannot be told.
            self.path(called.node, scope)
            self.is_all = False
        elif isinstance(called, nodes.Getattr) and called.attr in _TEXT_METHODS:
            self.path(called.node, scope)
        else:
            self._value(called, scope)
        return None


_GLOBALS: Final = frozenset({"range", "namespace"})


def _each(path: Path | None) -> Path | None:
    return None if path is None else (*path, EACH)


def shown(path: Path) -> str:
    """Return a path as its author would write it, such as `products[].name`."""
    return ".".join(path).replace(f".{EACH}", "[]")


def stand_ins(paths: Iterable[Path], known: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return variables for nobody in particular: what is *known*, and for others what they are called.

    Lists have one item. An address, by its name, is one at a domain that nobody has (RFC 2606).
    """
    return {key: _stand_in(key, below, known.get(key)) for key, below in _tree(paths).items()}


def _stand_in(name: str, below: _Keys, known: Any) -> Any:
    if EACH in below:
        return known if known is not None else [_stand_in(name, below[EACH], None)]
    if below:
        given: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
        return {
            **given,
            **{key: _stand_in(key, under, given.get(key)) for key, under in below.items()},
        }
    if known is not None:
        return known
    if name.endswith(("url", "link", "href", "image", "src")):
        return f"https://example.invalid/{name}"
    return name.replace("_", " ")

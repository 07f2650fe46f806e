"""Laws of settings: what stands in crm.toml is what the plugin gets, and nothing else passes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs

from crmcore.configuration import make_plugin
from crmcore.domain.structuring import strict_converter
from crmcore.errors import ConfigurationError, CrmError, nearest
from crmcore.hooks import Plugin
from crmcore.testing.laws.base import Laws
from crmcore.testing.shop import Shop
from crmcore.testing.toml import NotToml, fits, plain_type, toml_table

PATH: Final = Path("crm.toml")
_SAID: Final = (ConfigurationError, ValueError, TypeError, cattrs.errors.ForbiddenExtraKeysError)
_VALUES: Final[tuple[tuple[str, Any], ...]] = (
    ("text", "text"),
    ("empty text", ""),
    ("a whole number", 7),
    ("zero", 0),
    ("a number below zero", -1),
    ("a large number", 10**12),
    ("a number with a fraction", 7.5),
    ("true", True),
    ("a list", [7]),
    ("a table", {"key": 7}),
)


class SettingsLaws(Laws):
    """A plugin's class is its settings: typed, with defaults, documented, as crm.toml has them."""

    def test_settings_are_an_attrs_class(self, any_shop: Shop) -> None:
        """The class is an attrs class of its own, so that crm.toml can be structured into it."""
        _fields(any_shop)

    def test_settings_have_defaults(self, any_shop: Shop) -> None:
        """Every setting has a default, or the contract gives it a value."""
        for each in _fields(any_shop):
            if each.default is attrs.NOTHING and each.name not in any_shop.subject.settings:
                raise any_shop.broken(
                    f"setting {each.name!r} has no default; give it one, or name a value in the "
                    "contract's `settings` if the shop has to choose"
                )

    def test_settings_round_trip(self, any_shop: Shop) -> None:
        """Settings written to a crm.toml and read again make an equal object."""
        shop, converter = any_shop, strict_converter()
        made = _made(shop, shop.subject.settings)
        table = {}
        for each in _in_toml(shop):
            value = converter.unstructure(getattr(made, each.name))
            if value is not None:  # in a crm.toml it is left out
                table[each.name] = value
        try:
            text = toml_table(table)
        except NotToml as error:
            raise shop.broken(
                f"setting {error.name!r} holds {error.value!r}, which a crm.toml cannot say; use "
                "text, numbers, true or false, dates, lists and tables"
            ) from error
        from_code = {n: v for n, v in shop.subject.settings.items() if n in _code_only(shop)}
        again = _made(shop, {**tomllib.loads(text), **from_code})
        for each in _in_toml(shop):
            first, second = getattr(made, each.name), getattr(again, each.name)
            if first != second and converter.unstructure(first) != converter.unstructure(second):
                raise shop.broken(
                    f"setting {each.name!r} is {first!r} at first, and {second!r} when it was "
                    "written to a crm.toml and read again; let a setting keep the value it is "
                    "given, and compute others from it in fields with init=False"
                )

    def test_misspelt_settings_are_refused(self, any_shop: Shop) -> None:
        """A misspelt setting is refused, with the name it is nearest to."""
        shop = any_shop
        names = [each.name for each in _fields(shop)]
        _made(shop, shop.subject.settings)
        for name in names or ["enabled"]:
            wrong = _misspelt(name, names)
            hint = nearest(wrong, names)
            try:
                make_plugin(PATH, shop.subject.cls, {**shop.subject.settings, wrong: 1})
            except ConfigurationError as error:
                if wrong in str(error) and hint in str(error):
                    continue
                told = f"it is refused without being named{hint}: {error}"
            except Exception as error:
                told = f"that ends in {type(error).__name__}: {error}"
            else:
                told = "it is taken, and nobody is told"
            raise shop.broken(
                f"a setting misspelt as {wrong!r} is not refused as it should be: {told}; let the "
                "class be a plain attrs class without an __init__ of its own"
            )

    def test_settings_of_another_type_are_refused(self, any_shop: Shop) -> None:
        """Text for a number, a number for text and the like are refused, naming the setting."""
        shop = any_shop
        _made(shop, shop.subject.settings)
        for each in _in_toml(shop):
            wanted = plain_type(shop.subject.cls, each)
            for what, value in _VALUES:
                error = _refusal(shop, each.name, value)
                fitting = fits(value, wanted)
                if error is None and fitting is False:
                    raise shop.broken(
                        f"setting {each.name!r} takes {what} ({value!r}), though it is "
                        f"{_typed(each, wanted)}; annotate it with its exact type, and convert "
                        "nothing"
                    )
                if error is not None:
                    _check_refusal(shop, each.name, what, value, error)

    def test_objects_share_no_settings(self, any_shop: Shop) -> None:
        """Two objects share no list, table or set, so that neither changes the other."""
        shop = any_shop
        one, two = shop.subject.make(), shop.subject.make()
        for each in attrs.fields(_attrs_class(shop)):
            if each.name in shop.subject.settings:
                continue
            value = getattr(one, each.name, None)
            if isinstance(value, list | dict | set | bytearray) and value is getattr(
                two, each.name
            ):
                raise shop.broken(
                    f"setting {each.name!r} is one {type(value).__name__} that all objects share; "
                    f"give it with field(factory={type(value).__name__}), or a factory that "
                    "returns a new one"
                )

    def test_settings_are_documented(self, any_shop: Shop) -> None:
        """The class's docstring says of every setting what it means."""
        shop = any_shop
        documented = set(_documented(shop.subject.cls.__doc__ or ""))
        for each in _fields(shop):
            if each.name not in documented:
                raise shop.broken(
                    f"setting {each.name!r} is not documented; say below `Attributes:` in the "
                    f"docstring of {shop.subject.cls.__name__} what it means, and its unit"
                )


def _attrs_class(shop: Shop) -> Any:
    cls = shop.subject.cls
    if "__attrs_attrs__" not in vars(cls):
        raise shop.broken(
            f"{cls.__name__} is not an attrs class, so it can have no settings in crm.toml; put "
            "@define(eq=False) above it"
        )
    return cls


def _fields(shop: Shop) -> list[Any]:
    """Return the fields that are settings: those that are given when an object is made."""
    return [each for each in attrs.fields(_attrs_class(shop)) if each.init]


def _code_only(shop: Shop) -> set[str]:
    """Return the settings that only code can give: of any type, and None by default."""
    return {each.name for each in _fields(shop) if each.type is Any and each.default in (None, ...)}


def _in_toml(shop: Shop) -> list[Any]:
    apart = _code_only(shop)
    return [each for each in _fields(shop) if each.name not in apart]


def _made(shop: Shop, settings: Mapping[str, Any]) -> Plugin:
    _attrs_class(shop)
    try:
        return make_plugin(PATH, shop.subject.cls, settings)
    except CrmError as error:
        raise shop.broken(
            "it cannot be made from the settings as they stand in crm.toml; give the contract "
            f"`settings` that are right, and annotate each with a type TOML has: {error}"
        ) from error


def _refusal(shop: Shop, name: str, value: Any) -> Exception | None:
    """Return what is raised if a setting has a value, all others being as they were."""
    try:
        make_plugin(PATH, shop.subject.cls, {**shop.subject.settings, name: value})
    except Exception as error:
        return error
    return None


def _check_refusal(shop: Shop, name: str, what: str, value: Any, error: Exception) -> None:
    for cause in _leaves(error.__cause__ or error):
        if not isinstance(cause, _SAID):
            raise shop.broken(
                f"setting {name!r} crashes on {what} ({value!r}) with {type(cause).__name__}: "
                f"{cause}; check it with a validator, such as whole() or choice(), that raises "
                "ConfigurationError"
            ) from error
    if not isinstance(error, ConfigurationError) or name not in str(error):
        raise shop.broken(
            f"setting {name!r} refuses {what} ({value!r}) without being named: {error}; let the "
            "message say which setting it is, what was found and what is expected"
        ) from error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what was raised in the end, out of the groups that cattrs makes."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _misspelt(name: str, names: list[str]) -> str:
    """Return a name as a hurried person writes it, and that no setting has."""
    for wrong in (name[:-2] + name[-1] + name[-2], name[:-1], name + "s", name + "_x"):
        if wrong and wrong != name and wrong not in names:
            return wrong
    return f"{name}_y"


def _typed(each: Any, wanted: Any) -> str:
    name = getattr(wanted, "__name__", str(wanted))
    return f"{name}, as its default {each.default!r} is" if each.type is None else f"a {name}"


def _documented(docstring: str) -> Iterator[str]:
    """Yield the names that stand below `Attributes:`."""
    inside = False
    for line in docstring.splitlines():
        word = line.strip()
        if word == "Attributes:":
            inside = True
        elif inside and word.endswith(":") and word[:-1].istitle():
            inside = False
        elif inside and ":" in word:
            names = word.partition(":")[0]
            yield from (name.strip(" `*") for name in names.split(","))

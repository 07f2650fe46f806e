"""Watching: what a plugin does while its hooks run, be it swallowed or undone afterwards."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Final

import sqlalchemy
from attrs import define, field, frozen
from sqlalchemy import event as sqlalchemy_event

from crmcore.hooks import Plugin
from crmcore.persistence.connection import Connection
from crmcore.services.starting.assembly import hook_names
from crmcore.testing.importing import imports_told

NETWORK: Final = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendto",
        "socket.sendmsg",
    }
)
_PROCESSES: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn"}
    | {"os.spawn", "os.startfile", "pty.spawn"}
)
_FILES: Final = frozenset(
    {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
    | {"shutil.rmtree", "shutil.move", "shutil.copyfile", "sqlite3.connect"}
)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_OUTSIDE: Final = re.compile(r"deliver_messages\Z|prepare_message\Z|after_")
_TIMERS: Final = frozenset({"set_timer", "cancel_timer", "find_timer"})
"""There is no form of these for many at once, so that they are not counted."""
_OWN: Final = frozenset({"", "execute", "execute_many", "write", "fold", "clear"})
"""Methods of the context by which a plugin writes what it names itself."""
_TARGET: Final = re.compile(
    r"\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|MERGE\s+INTO|DELETE\s+FROM(?:\s+ONLY)?"
    r"|(?<!FOR )(?<!KEY )(?<!DO )UPDATE(?:\s+OR\s+\w+|\s+ONLY)?|COPY|TRUNCATE(?:\s+TABLE)?)"
    r"\s+(?:\w+\s*\.\s*)?[\"`\[]?(\w+)",
    re.IGNORECASE,
)
_DEFINES: Final = re.compile(
    r"\s*(CREATE|DROP|ALTER|COMMIT|ROLLBACK|BEGIN|END|SAVEPOINT|RELEASE|PRAGMA|ATTACH|VACUUM"
    r"|REINDEX|GRANT|SET|LOCK)\b",
    re.IGNORECASE,
)
_LITERALS: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)


@frozen
class Deed:
    """Something a plugin did in a hook: of which sort, and what it was in words."""

    hook: str
    sort: str
    told: str


@define(eq=False)
class Call:
    """One call of a hook: what it was about, what it ran, and what it took."""

    hook: str
    items: int
    statements: Counter[str] = field(factory=Counter)
    method: str = ""
    microseconds: int = 0

    @property
    def is_outside(self) -> bool:
        """Whether no transaction is open: such hooks may take their time, and the network."""
        return _OUTSIDE.match(self.hook) is not None

    @property
    def count(self) -> int:
        """How many statements it ran."""
        return self.statements.total()


@define(eq=False)
class Watch:
    """
    What the hooks of one plugin did.

    Attributes:
        tables: What the plugin may write: the names of its own.
        calls: Every call of a hook, in their order.
        deeds: What is not allowed in a transaction, and was done.
        raised: What hooks raised, first by first.
    """

    tables: frozenset[str]
    calls: list[Call] = field(factory=list)
    deeds: list[Deed] = field(factory=list)
    raised: list[tuple[str, Exception]] = field(factory=list)
    _open: list[Call] = field(factory=list)

    @property
    def call(self) -> Call | None:
        """The call that is running, if one is."""
        return self._open[-1] if self._open else None

    def did(self, sort: str) -> list[Deed]:
        """Return what was done of one sort."""
        return [each for each in self.deeds if each.sort == sort]

    def note(self, sort: str, told: str) -> None:
        """Note something that the running call does."""
        if self._open:
            self.deeds.append(Deed(self._open[-1].hook, sort, told))

    def over(self, plugin: Plugin) -> Plugin:
        """Return *plugin* with its hooks being watched."""
        for name in hook_names():
            method = getattr(plugin, name)
            if getattr(type(plugin), name) is not getattr(Plugin, name):
                # Found before the class's own, by whoever asks the object for the hook.
                plugin.__dict__[name] = self._watched(name, method)
        return plugin

    def _watched(self, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if hook.startswith("register_"):
            return self._watched_at_start(hook, method)

        @wraps(method)
        def watched(ctx: Any, event: Any) -> Any:
            with self._calling(Call(hook, _items(event))) as call:
                return method(WatchedContext(ctx, call), event)

        return watched

    def _watched_at_start(self, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def watched() -> Any:
            with self._calling(Call(hook, 0)):
                return method()

        return watched

    @contextmanager
    def _calling(self, call: Call) -> Iterator[Call]:
        self.calls.append(call)
        self._open.append(call)
        started = time.thread_time_ns()
        try:
            yield call
        except Exception as error:
            self.raised.append((call.hook, error))
            raise
        finally:
            call.microseconds = (time.thread_time_ns() - started) // 1000
            self._open.pop()

    def ran(self, sql: str) -> None:
        """Note a statement of the running call, and look at what it writes."""
        call = self.call
        if call is None:
            return
        if call.method not in _TIMERS:
            call.statements[" ".join(sql.split())] += 1
        if call.method in _OWN:
            plain = " ".join(_LITERALS.sub("''", sql).split())
            if _DEFINES.match(plain):
                self.note("define", plain[:80])
            for target in _TARGET.findall(plain):
                if target.lower() not in self.tables and target.upper() != "SET":
                    self.note("write", target)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what the interpreter says is being done; refuse the network."""
        call = self.call
        if call is None or call.is_outside:
            return
        if event in NETWORK:
            where = arguments[1] if len(arguments) > 1 and event != "socket.getaddrinfo" else ""
            where = arguments[0] if event.startswith("socket.get") else where
            self.note("network", f"{event} {where!r}")
            raise ConnectionRefusedError("there is no network in a transaction")
        if event in _PROCESSES:
            self.note("process", f"{event} {arguments[0]!r}" if arguments else event)
        elif event in _FILES or (event == "open" and _writes(arguments)):
            is_own = call.hook in ("export_customer", "erase_customer")  # they may have files
            made_by_python = "__pycache__" in str(arguments[0]) or arguments[0] == os.devnull
            if not is_own and not made_by_python:
                self.note("file", f"{event} {arguments[0]!r}")


class WatchedContext:
    """A context that says which of its methods is running."""

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name.startswith("_") or not callable(found) or name in ("clock", "calendar"):
            return found
        call = self._call

        @wraps(found)
        def noted(*arguments: Any, **named: Any) -> Any:
            before, call.method = call.method, name
            try:
                return found(*arguments, **named)
            finally:
                call.method = before

        return noted


def _items(event: Any) -> int:
    try:
        return len(event)
    except TypeError:
        pass
    for name in ("deliveries", "timers", "changes", "selection"):
        found = getattr(event, name, None)
        found = getattr(found, "customers", found)
        if isinstance(found, Sequence):
            return len(found)
    size = getattr(event, "size", 1)
    return size if isinstance(size, int) else 1


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = (*arguments[1:3], None, None)[:2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


_watches: list[Watch] = []
_is_installed = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watches and event in _HEARD:
        _watches[-1].heard(event, arguments)


_HEARD: Final = NETWORK | _PROCESSES | _FILES | {"open"}


@contextmanager
def watching(tables: Sequence[str], package: str = "") -> Iterator[Watch]:
    """
    Watch what hooks do inside the block; see `Watch.over`.

    The interpreter's audit hook cannot be taken back, so it is installed once, and does nothing
    outside of such blocks. Neither of sleeping nor of threads does every Python tell it.
    """
    global _is_installed
    if not _is_installed:
        sys.addaudithook(_audit)
        _is_installed = True
    watch = Watch(frozenset(tables))
    importing = partial(watch.note, "import")
    with (
        _statements_told(watch),
        _sleeping_told(watch, package),
        _threads_told(watch),
        imports_told(importing, package),
    ):
        _watches.append(watch)
        try:
            yield watch
        finally:
            _watches.remove(watch)


@contextmanager
def _statements_told(watch: Watch) -> Iterator[None]:
    """Tell of all statements, however they reach the driver."""
    run, run_many = Connection._run, Connection._run_many

    def told(self: Connection, sql: str, *rest: Any) -> Any:
        watch.ran(sql)
        return run(self, sql, *rest)

    def told_many(self: Connection, sql: str, rows: Any) -> int:
        watch.ran(sql)
        return run_many(self, sql, rows)

    def beside(_: Any, __: Any, sql: str, *rest: Any) -> None:
        watch.ran(sql)

    Connection._run = told  # type: ignore[method-assign,assignment]
    Connection._run_many = told_many  # type: ignore[method-assign]
    sqlalchemy_event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", beside)
    try:
        yield
    finally:
        Connection._run = run  # type: ignore[method-assign]
        Connection._run_many = run_many  # type: ignore[method-assign]
        sqlalchemy_event.remove(sqlalchemy.engine.Engine, "before_cursor_execute", beside)


@contextmanager
def _sleeping_told(watch: Watch, package: str) -> Iterator[None]:
    """Tell of `time.sleep`, and of the names that the plugin's modules know it by."""
    slept = time.sleep

    def sleep(seconds: float) -> None:
        call = watch.call
        if call is None or call.is_outside:
            slept(seconds)
        else:  # nobody need wait for it
            watch.note("sleep", f"time.sleep({seconds!r})")

    places = [
        (vars(module), name)
        for key, module in list(sys.modules.items())
        if module is time or key == package or key.startswith(f"{package}.")
        for name, value in list(getattr(module, "__dict__", {}).items())
        if value is slept
    ]
    for names, name in places:
        names[name] = sleep
    try:
        yield
    finally:
        for names, name in places:
            names[name] = slept


@contextmanager
def _threads_told(watch: Watch) -> Iterator[None]:
    start = threading.Thread.start

    def told(self: threading.Thread) -> None:
        call = watch.call
        if call is not None and not call.is_outside:
            watch.note("thread", self.name)
        start(self)

    threading.Thread.start = told  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]

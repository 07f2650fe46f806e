"""
The transaction: one mail through one conversation, and the next one right behind it.

Where the server allows it (RFC 2920), a mail's commands travel together, and behind the final dot
of the mail before: one round trip for each mail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from crmcore import Accepted, Deferred, Failed, Outcome, Unknown
from crmcore_email_link.transports.conversation import Conversation, Lost, Relay
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.replies import Reply, refusal

_PIECE = 65_536  # octets; what is longer is written in pieces, and its final dot by itself
_GO_ON = 354
_REFERENCE = 200  # characters of the last answer that are kept, such as "2.0.0 Ok: queued as 4F2"
_CLOSING = 421


@define(eq=False)
class Job:
    """
    A mail on its way.

    Attributes:
        index: Its place among those that were handed over together.
        envelope: The mail.
        destination: Whose pace it keeps.
        relays: Who takes mails for it, the best first.
        is_handed: Whether its final dot may have left, so that it may have been taken.
    """

    index: int
    envelope: Envelope
    destination: str
    relays: tuple[Relay, ...]
    is_handed: bool = False


class Stale(Exception):  # noqa: N818 - it is no mistake of ours
    """The server had hung up before anything was said; *job* is as it was."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


Settle = Callable[[Job, Outcome, Reply | None], None]


@define(eq=False)
class Carrier:
    """
    Carries mails through one conversation.

    Attributes:
        conversation: With whom.
        relay: Who that is.
        following: Returns the mail that goes next through the same conversation; None: none.
        settle: Is told what became of each mail, once.
    """

    conversation: Conversation
    relay: Relay
    following: Callable[[], Job | None]
    settle: Settle
    _held: list[Job] = field(factory=list, init=False)

    async def carry(self, first: Job) -> None:
        """Carry *first*, and all that follow; raises `Lost` once the server hangs up."""
        try:
            job: Job | None = first
            is_ready = await self._introduce(first)
            while job is not None:
                behind, is_behind_ready = (
                    (await self._hand_over(job)) if is_ready else (None, False)
                )
                if behind is None:
                    behind = self.following()
                    is_behind_ready = behind is not None and await self._introduce(behind)
                job, is_ready = behind, is_behind_ready
        except Lost as fault:
            reason = f"{self.conversation.host} {fault}"
            for each in [*self._held]:
                self._settle(each, Unknown(reason) if each.is_handed else Deferred(reason))
            raise

    async def _hand_over(self, job: Job) -> tuple[Job | None, bool]:
        """Send a mail's bytes, and introduce the next; return that one, and whether it may go."""
        conversation, content = self.conversation, _stuffed(job.envelope.raw)
        behind: Job | None = None
        commands: Sequence[bytes] = ()
        if conversation.has_pipelining:
            behind, commands = self._next_commands()
        if len(content) > _PIECE:
            await conversation.write_slowly(content, self.relay.command_seconds)
            content = b""
        job.is_handed = True
        try:
            conversation.write(b"".join((content, b".\r\n", *commands)))
        except Lost:
            job.is_handed = False
            raise
        reply = await conversation.reply(self.relay.dot_seconds)
        if reply.code // 100 == 2:
            self._settle(job, Accepted(reply.text[:_REFERENCE] or None), reply)
        else:
            self._refuse(job, "the mail", reply, of_recipient=True)
        return behind, behind is not None and await self._hear(behind, len(commands))

    async def _introduce(self, job: Job) -> bool:
        """Say from whom and to whom a mail goes; return whether it may be sent."""
        self._held.append(job)
        commands = self._commands(job)
        if not commands:
            return False
        self.conversation.mails += 1
        if not self.conversation.has_pipelining:
            return await self._introduce_singly(job, commands)
        try:
            self.conversation.write(b"".join(commands))
            return await self._hear(job, len(commands))
        except Lost:
            if self.conversation.is_rested:
                raise Stale(self._held.pop()) from None
            raise

    async def _introduce_singly(self, job: Job, commands: Sequence[bytes]) -> bool:
        is_accepted = False
        for command in commands:
            step = command[:4].decode()
            try:
                self.conversation.write(command)
                reply = await self._answer()
            except Lost:
                if self.conversation.is_rested:
                    raise Stale(self._held.pop()) from None
                raise
            if step == "RSET":
                continue
            if not _goes_on(step, reply):
                self.conversation.needs_reset = is_accepted
                self._refuse(job, step, reply, of_recipient=step == "RCPT")
                return False
            is_accepted = True
        return True

    async def _answer(self) -> Reply:
        """Return the answer to a command; after a rest, a 421 is about the rest and no mail."""
        reply = await self.conversation.reply(self.relay.command_seconds)
        if self.conversation.is_rested and reply.code == _CLOSING:
            self.conversation.abort("hung up")
            raise Lost("hung up")
        self.conversation.is_rested = False
        return reply

    async def _hear(
        self,
        job: Job,
        count: int,
    ) -> bool:
        """Take in the answers to what was said together; return whether the mail may be sent."""
        steps = ("RSET", "MAIL", "RCPT", "DATA")[-count:]
        refused: tuple[str, Reply] | None = None
        reply = Reply(0, "")
        try:
            for step in steps:
                reply = await self._answer()
                if refused is None and step != "RSET" and not _goes_on(step, reply):
                    refused = step, reply
        except Lost:
            if refused is not None:  # the answers behind a 421 never come
                self._refuse(job, refused[0], refused[1], of_recipient=refused[0] == "RCPT")
            raise
        if refused is None:
            return True
        self.conversation.needs_reset = True
        self._refuse(job, refused[0], refused[1], of_recipient=refused[0] == "RCPT")
        if reply.code == _GO_ON:  # to nobody: RFC 2920, 3.1 has it ended at once
            self.conversation.write(b".\r\n")
            await self.conversation.reply(self.relay.dot_seconds)
        return False

    def _next_commands(self) -> tuple[Job | None, Sequence[bytes]]:
        """Return the next mail that this server can be given, and what introduces it."""
        while (job := self.following()) is not None:
            self._held.append(job)
            commands = self._commands(job)
            if commands:
                self.conversation.mails += 1
                return job, commands
        return None, ()

    def _commands(self, job: Job) -> Sequence[bytes]:
        """Return what introduces a mail; nothing, and it is settled, if it cannot be taken."""
        found = commands_of(job.envelope, self.conversation.extensions, self.relay)
        if isinstance(found, str):
            self._settle(job, Failed(f"{self.conversation.host} {found}"))
            return ()
        if self.conversation.needs_reset:
            self.conversation.needs_reset = False
            return (b"RSET\r\n", *found)
        return found

    def _refuse(self, job: Job, step: str, reply: Reply, *, of_recipient: bool) -> None:
        outcome = refusal(self.conversation.host, step, reply, of_recipient=of_recipient)
        self._settle(job, outcome, reply)
        if reply.code == _CLOSING:  # it hangs up itself: RFC 5321, 3.8
            self.conversation.abort("hung up")

    def _settle(self, job: Job, outcome: Outcome, reply: Reply | None = None) -> None:
        self._held.remove(job)
        self.settle(job, outcome, reply)


def commands_of(
    envelope: Envelope, extensions: dict[str, str], relay: Relay
) -> Sequence[bytes] | str:
    """Return what introduces a mail to a server, or in words why it cannot be given to it."""
    raw = envelope.raw
    mail, rcpt = [f"MAIL FROM:<{envelope.mail_from}>"], [f"RCPT TO:<{envelope.rcpt_to}>"]
    is_wide = not (envelope.mail_from + envelope.rcpt_to).isascii()
    if not raw.isascii():
        is_wide = is_wide or not raw.partition(b"\r\n\r\n")[0].isascii()
        if "8bitmime" not in extensions:
            return "takes no mail with octets beyond ASCII (8BITMIME), and this one has them"
        mail.append("BODY=8BITMIME")
    if is_wide:
        if "smtputf8" not in extensions:
            return "takes no addresses or headers beyond ASCII (SMTPUTF8), and this mail has them"
        mail.append("SMTPUTF8")
    if "size" in extensions:
        limit = extensions["size"].strip()
        if limit.isdigit() and 0 < int(limit) < len(raw):
            return f"takes mails of {limit} octets at most, and this one has {len(raw)}"
        mail.append(f"SIZE={len(raw)}")
    if "dsn" in extensions:
        mail += ["RET=HDRS", *([f"ENVID={xtext(envelope.envid)}"] if envelope.envid else ())]
        notify = relay.notify if envelope.mail_from else "NEVER"
        rcpt += [f"NOTIFY={notify}", f"ORCPT={_original(envelope.rcpt_to)}"]
    said = (" ".join(mail), " ".join(rcpt), "DATA")
    return tuple(f"{each}\r\n".encode() for each in said)


def xtext(text: str) -> str:
    """
    Return *text* as a parameter may hold it (RFC 3461, 4).

    >>> xtext("a+b=c@example.com")
    'a+2Bb+3Dc@example.com'
    """
    return "".join(
        each if "!" <= each <= "~" and each not in "+=" else f"+{ord(each):02X}" for each in text
    )


def _original(address: str) -> str:
    """Return an address with its type; beyond ASCII it is written as RFC 6533, 3 says."""
    if address.isascii():
        return f"rfc822;{xtext(address)}"
    escaped = (f"\\x{{{ord(each):X}}}" if each in "+=\\" else each for each in address)
    return f"utf-8;{''.join(escaped)}"


def _stuffed(raw: bytes) -> bytes:
    """Return a mail as it goes over the wire, less the final dot (RFC 5321, 4.5.2)."""
    if raw.startswith(b"."):
        raw = b"." + raw
    if b"\r\n." in raw:
        raw = raw.replace(b"\r\n.", b"\r\n..")
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def _goes_on(step: str, reply: Reply) -> bool:
    return reply.code == _GO_ON if step == "DATA" else reply.code // 100 == 2

"""Notices: bounces written for people alone, as many systems did and some do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from crmcore_email_link.bounces.parts import Part
from crmcore_email_link.bounces.replies import is_daemon
from crmcore_email_link.bounces.report import Evidence

MOST_ADDRESSES: Final = 50
_LONGEST_SEGMENT: Final = 1500


class Sign(NamedTuple):
    """Words that show a bounce, and who writes so."""

    pattern: str
    source: str


SUBJECTS: Final = (
    Sign(
        r"undeliver(?:able|ed)|non-?deliver|not (?:be )?delivered|(?:could not|cannot|can't"
        r"|unable to) (?:be )?(?:deliver|send|sent)|not deliverable",
        "subjects in English",
    ),
    Sign(
        r"deliver(?:y|ing)\b.{0,30}(?:fail|status|problem|error|report|notif|delay|incomplete"
        r"|unsuccess|suspend|abort)|fail\w* (?:mail|message|deliver|notice|notification)"
        r"|failure (?:notice|notif|deliver)|mail (?:failed|failure|error|status|delivery)",
        "subjects in English",
    ),
    Sign(
        r"return(?:ed|ing) (?:mail|message|e-?mail|to sender)|mail(?: system)? (?:error"
        r"|returned)|bounce|nameserver error|processing error|permanent (?:delivery|fatal|error)"
        r"|failed (?:to|mail)|rejected (?:mail|message|e-?mail)|message rejected|mail rejected",
        "subjects in English",
    ),
    Sign(
        r"user unknown|unknown user|host unknown|no such user|over quota|mailbox (?:is )?full",
        "subjects that tell the reason",
    ),
    Sign(
        r"delay(?:ed)?\b.{0,20}(?:mail|message|deliver)|(?:mail|message)\b.{0,20}delay"
        r"|warning: (?:message|could not|mail|e-?mail)|still being retried"
        r"|considered unsolicited",
        "subjects of delays",
    ),
    Sign(
        r"unzustellbar|nicht (?:zugestellt|zustellbar|ausgeliefert)|zustellung|fehlgeschlagen"
        r"|unbestellbar|non remis|[eé]chec (?:de|d'envoi)|non distribu|impossible de remettre"
        r"|retour de courrier|no (?:entregado|se pudo|se ha podido)|devuelto|n[aã]o (?:entregue"
        r"|p[oô]de)|devolvid|mancat[ao] (?:consegna|recapito)|non (?:recapitat|consegnat)"
        r"|onbestelbaar|niet (?:bezorgd|afgeleverd)|niedor[eę]cz|zwrot|kunde inte levereras"
        r"|kunne ikke leveres|не (?:доставлен|может быть|удалось|было)|недоставлен|возврат"
        r"|iletilemedi|teslim edilemedi|nedoru[cč]|k[eé]zbes[ií]thetetlen",
        "subjects in other languages",
    ),
    Sign(
        r"退信|退回|投递失败|投遞失敗|发送失败|傳送失敗|未送达|无法投递|无法送达|系统通知"
        r"|配信不能|配信(?:エラー|失敗|できません)|エラー(?:メール|通知)|送信(?:できません"
        r"|エラー|失敗)|不達|未達|반송|전송 ?(?:실패|불가)|배달 ?(?:실패|불가)|수신 ?실패",
        "subjects in Chinese, Japanese and Korean",
    ),
)
TEXTS: Final = (
    Sign(
        r"(?:could|can|was|were|has|have|been|did|be|is|are)(?: ?not|n't)(?: yet)? (?:be |been "
        r"|get |successfully )*(?:deliver\w*|reach\w*|sent|accepted|forwarded"
        r"|received? (?:a copy|this|your))|(?:cannot|unable to|not able to|failed to"
        r"|wasn't able to|weren't able to|n't able to) (?:\w+ )?(?:deliver|send|be delivered"
        r"|reach|accept)\w*|not receive a copy",
        "English texts",
    ),
    Sign(
        r"deliver(?:y|ing)\b.{0,80}(?:fail|aborted|unsuccess|error|has been delayed|problem)"
        r"|undeliver(?:able|ed)|not delivered|fatal (?:delivery )?errors?|mail delivery (?:fail"
        r"|subsystem|system)|did not reach|following address(?:es|\(es\))? (?:failed|had|have)"
        r"|has been (?:delayed|returned|rejected|bounced)|(?:message|mail) (?:was"
        r"|is) (?:returned|rejected|refused|bounced|delayed)|failed (?:recipient|permanently"
        r"|address)|permanent(?:ly)? (?:error|fail)|returned to (?:you|sender)"
        r"|no message collected|was automatically rejected|considered unsolicited|(?:you sent"
        r"|your) (?:mail|message|e-?mail) (?:to|could|was|can|has|did)|isn't reachable"
        r"|error(?: was)? (?:detected|encountered|while|delivering)|(?:trouble"
        r"|problems?) (?:\w+ )?deliver|delivery problems|encountered (?:an error|delivery)"
        r"|error message|(?<![\d.])[45]\d\d[- ](?:[45]\.\d{1,3}\.\d{1,3}\b|[- ]*requested)",
        "English texts",
    ),
    Sign(
        r"nicht (?:zugestellt|zustellbar|ausgeliefert|versendet)|zustellung .{0,40}fehl"
        r"|konnte.{0,60}nicht|auslieferung|n'a (?:pu|pas pu|pas [eé]t[eé])|non (?:remis"
        r"|distribu[eé])|impossible de|no (?:se )?(?:pudo|ha podido|puede|fue posible)"
        r"|n[aã]o (?:p[oô]de|foi poss|foi entregue)|non (?:[eè] stato|[eè] possibile|recapit)"
        r"|niet (?:worden )?(?:bezorgd|afgeleverd)|nie (?:mo[zż]e|zosta[lł]|dor[eę]cz)"
        r"|не (?:может быть|был\w* доставлен|доставлен|удалось)|невозможно доставить"
        r"|teslim edilemedi|iletilemedi",
        "texts in other languages",
    ),
    Sign(
        r"(?:无法|未能|不能|没有).{0,8}(?:送达|投递|发送|送到|到达)|(?:投递|发送|送信"
        r"|投遞)\w{0,4}(?:失败|失敗)|被退回|退信|退回|配信(?:でき|不能|エラー)|届けられ|送信でき"
        r"|送達でき|전송.{0,10}(?:실패|못)|배달.{0,10}(?:실패|못)",
        "texts in Chinese, Japanese and Korean",
    ),
)
DELAYS: Final = (
    Sign(
        r"warning (?:message )?only|this is (?:just |only )?a warning|(?:has"
        r"|have) (?:not yet been|been delayed|not been delivered yet)"
        r"|not yet (?:been )?(?:delivered|received)|still being retried|message (?:is )?delayed"
        r"|delayed mail|delivery (?:\w+ ){0,4}(?:delayed|attempts will)|(?:will"
        r"|shall)(?: \w+)? (?:continue|keep|be retried|keep on|retry|try again)(?! to resend)"
        r"|attempts to (?:deliver|send).{0,40}will continue|you do not need to (?:re-?send|take)"
        r"|notification about a delay|temporarily delayed|awaiting delivery",
        "RFC 3464, 2.3.3: delayed",
    ),
    Sign(
        r"verz[oö]ger|weitere zustellversuche|noch nicht zugestellt|retard[eé]e|pas encore"
        r"|a[uú]n no|retrasad|ritard|vertraagd|op[oó][zź]nion|задерж\w+|将继续尝试|会继续尝试"
        r"|延迟|延遲|遅延|再送を(?:試み|続け)",
        "delays in other languages",
    ),
)
ARRIVALS: Final = (
    Sign(
        r"(?:successfully|been|was|were) (?:successfully )?(?:delivered|relayed)(?: to| \(|\."
        r"| with| by)|(?:was|is) read on|return receipt|delivery (?:successful|confirmation)"
        r"|(?:erfolgreich|wurde) zugestellt|成功(?:投递|送达|发送)",
        "RFC 3464, 2.3.3: delivered, relayed",
    ),
)

# Exchange, Domino and others name our mail by its subject, which decides nothing.
QUOTED_SUBJECT: Final = re.compile(
    r"^.{0,20}\b(?:subject|betreff|objet|asunto|assunto|oggetto|onderwerp|temat"
    r"|тема)\b ?[:\uff1a].*$|^.{0,8}(?:主题|主題|件名)[:\uff1a].*$"
    r"|\bwith (?:the )?subject\b.{0,300}",
    re.IGNORECASE | re.MULTILINE,
)
_ADDRESS: Final = (
    r"([^\s<>@\"'()\[\],;:|*=]{1,64}@(?:\[[0-9A-Fa-f.:IPv]{3,50}\]"
    r"|[^\W_][\w-]{0,62}(?:\.[\w-]{1,63}){0,9}))"
)
_LINE: Final = re.compile(
    r"^[\s>|*\"'\[(•·→-]{0,40}(?!(?:to|cc|from|(?:original )?sender|reply-to|subject|message-id"
    r"|return-path|mail from|rcpt to):|\d{3}[ -])(?:[^\W\d_][\w' "
    r"-]{0,40}[:\uff1a]\s*)?(?:.{0,80}smtp[:=]|smtp:)?[\"'<\[(]{0,3}" + _ADDRESS,
    re.IGNORECASE,
)
_WITHIN: Final = re.compile(
    r"(?:[<\[('\"\uff08:\uff1a ]|^|mailto:|smtp[:=])" + _ADDRESS + r"(?=[>\])'\"\uff09\s,;:.]|$)",
    re.IGNORECASE,
)


class Addressed(NamedTuple):
    """An address that a notice names, and what it says about it."""

    address: str
    said: str
    in_header: bool


def find(mail: Part, text: str, returns_mail: bool = False) -> Evidence | None:
    """
    Return what shows that the mail is a bounce, or None.

    A server's sender is not enough, as a postmaster writes other mail, too; nor is the subject of
    anybody else, who may have put `Re:` before it. Words that say so are, if either a subject does
    as well or the mail is in it, as *returns_mail* tells.
    """
    if "x-failed-recipients" in mail.headers:
        words = mail.header("x-failed-recipients")[:200]
        return Evidence(
            rule="bounce", source="Exim", part="header x-failed-recipients", words=words
        )
    if mail.kind == "multipart/report" and mail.parameters.get("report-type") == "delivery-status":
        return Evidence(rule="bounce", source="RFC 3464, 2", part="Content-Type", words=mail.kind)
    subject = _first(SUBJECTS, "header subject", mail.header("subject")[:500])
    body = _first(TEXTS, "text", text[:6000])
    if is_daemon(mail):
        return subject or body
    return body and (body if returns_mail else subject)


def delay(mail: Part, text: str) -> Evidence | None:
    """Return what shows that a bounce is a warning only, or None."""
    return _first(DELAYS, "text", f"{mail.header('subject')[:300]}\n{text[:6000]}")


def arrival(mail: Part, text: str) -> Evidence | None:
    """Return what shows that a notice tells of success, or None."""
    return _first(ARRIVALS, "text", f"{mail.header('subject')[:300]}\n{text[:6000]}")


def addressed(mail: Part, text: str) -> tuple[Addressed, ...]:
    """Return whom a notice tells of, in its order, at most `MOST_ADDRESSES`."""
    own = {each.lower() for name in ("to", "cc") for each in _in(mail.header(name))}
    found: dict[str, Addressed] = {}
    lines = text[:16_000].split("\n")
    starts = [
        (n, match[1])
        for n, line in enumerate(lines)
        if (match := _LINE.match(line[:400])) and match[1].lower() not in own
    ]
    for (start, address), (end, _) in pairwise([*starts, (len(lines), "")]):
        said = "\n".join(lines[start:end])[:_LONGEST_SEGMENT]
        before = found.get(address.lower())
        said = f"{before.said}\n{said}"[: 2 * _LONGEST_SEGMENT] if before else said
        found[address.lower()] = Addressed(address, said, False)
    if failed := list(_in(mail.header("x-failed-recipients"))):
        told = {each.lower(): found.get(each.lower()) for each in failed}
        return tuple(
            Addressed(each, (is_told.said if (is_told := told[each.lower()]) else ""), True)
            for each in failed[:MOST_ADDRESSES]
        )
    if not found:
        inside = (each for each in _in(text[:4000]) if each.lower() not in own)
        found = {each.lower(): Addressed(each, "", False) for each in list(inside)[:1]}
    return tuple(found.values())[:MOST_ADDRESSES]


def _in(text: str) -> Iterator[str]:
    """Yield the addresses in a text."""
    for match in _WITHIN.finditer(text[:8000]):
        yield match[1]


def _first(signs: Sequence[Sign], part: str, text: str) -> Evidence | None:
    """Return the first sign in a text."""
    text = " ".join(text.lower().translate({0x2019: "'", 0x2018: "'"}).split())
    for sign in signs:
        if match := re.search(sign.pattern, text):
            return Evidence(rule="bounce", source=sign.source, part=part, words=match[0][:200])
    return None

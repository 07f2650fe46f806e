"""Words: what the pages say, in each language they speak."""

# ruff: noqa: RUF001 - Chinese has its own punctuation

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from crmcore_email_link.letters import LANGUAGES

Words = Mapping[str, str]

_EN: Final[Words] = {
    "news": "news",
    "promotion": "offers",
    "survey": "surveys",
    "care": "care and advice",
    "*": "all mail that is not about an order",
    "service": "what belongs to an order",
    "leave_title": "Unsubscribe",
    "leave_ask": "No more {what} to {address}?",
    "leave_button": "Unsubscribe",
    "left_title": "You are unsubscribed",
    "left": "No more {what} comes to {address}. It may take a moment for what is on its way.",
    "confirm_title": "Confirm your address",
    "confirm_ask": "Do you want {what} sent to {address}?",
    "confirm_button": "Yes, I want that",
    "confirmed_title": "Thank you",
    "confirmed": "{address} is confirmed for {what}.",
    "void_title": "This link holds no longer",
    "void": "It is too old, or was taken back. Please sign up again.",
    "missing_title": "There is nothing here",
    "missing": (
        "The link is not complete, or not one of ours. Please use it as it stands in the mail."
    ),
    "preferences_title": "What may we send you?",
    "preferences": (
        "To {address}. What you take away ends at once; what you add, you confirm by a "
        "link that we send there."
    ),
    "save": "Save",
    "none": "Nothing of all this",
    "saved_title": "Saved",
    "saved": "What you took away has ended.",
    "asked": "We sent a link to {address}: what you added comes once you followed it.",
    "tracking": "You may see whether I open mails and follow their links",
    "track_title": "May we see whether you open our mails?",
    "track_ask": (
        "We would see whether mails to {address} are opened and their links followed, until "
        "you say otherwise. You get the same mails without it."
    ),
    "track_button": "Yes, you may",
    "tracked_title": "Thank you",
    "tracked": "We see whether mails to {address} are opened. A link in each of them ends it.",
    "untrack_title": "Opens and clicks",
    "untrack_ask": (
        "Shall we no longer see whether mails to {address} are opened and their links followed?"
    ),
    "untrack_button": "No longer",
    "untracked_title": "That has ended",
    "untracked": (
        "We no longer see whether mails to {address} are opened, those you already have among them."
    ),
    "why_title": "Why did I get this?",
    "why_sent": "We sent this mail to {address} on {day}, as {what}.",
    "why_confirmed": "On {since} it was confirmed by a link that was sent there.",
    "why_given": "On {since} you agreed to it.",
    "why_imported": "You gave us the address with an order on {since}, and did not object.",
    "why_contract": "It belongs to what you ordered or asked for, so we owe it to you.",
    "why_opt_out": "You have not objected to it.",
    "why_withdrawn": "Since {since} you want no more of it, and none comes.",
    "why_gone": "What was agreed is not on record any more.",
    "why_text": "What you saw then: {wording}.",
    "why_now": "Unsubscribe",
    "busy_title": "Please try again",
    "busy": "It did not work just now. Nothing was changed.",
    "bad_title": "That could not be read",
    "bad": "Nothing was changed. Please go back and try again.",
    "archive_title": "There is no copy of this mail",
    "archive": "Only what was said to everybody can be seen here.",
}
_DE: Final[Words] = {
    "news": "Neuigkeiten",
    "promotion": "Angebote",
    "survey": "Umfragen",
    "care": "Pflege und Rat",
    "*": "E-Mails, die nicht zu einer Bestellung gehören",
    "service": "Mitteilungen zu einer Bestellung",
    "leave_title": "Abbestellen",
    "leave_ask": "Keine {what} mehr an {address}?",
    "leave_button": "Abbestellen",
    "left_title": "Abbestellt",
    "left": "An {address} kommen keine {what} mehr. Was schon unterwegs ist, kann noch eintreffen.",
    "confirm_title": "Adresse bestätigen",
    "confirm_ask": "Möchten Sie {what} an {address} erhalten?",
    "confirm_button": "Ja, gern",
    "confirmed_title": "Vielen Dank",
    "confirmed": "{address} ist bestätigt für: {what}.",
    "void_title": "Dieser Link gilt nicht mehr",
    "void": "Er ist zu alt oder wurde zurückgenommen. Bitte melden Sie sich neu an.",
    "missing_title": "Hier ist nichts",
    "missing": (
        "Der Link ist unvollständig oder nicht von uns. Bitte nehmen Sie ihn, wie er in "
        "der E-Mail steht."
    ),
    "preferences_title": "Was dürfen wir senden?",
    "preferences": (
        "An {address}. Was Sie abwählen, endet sofort; was Sie hinzunehmen, bestätigen "
        "Sie über einen Link, den wir dorthin senden."
    ),
    "save": "Speichern",
    "none": "Nichts davon",
    "saved_title": "Gespeichert",
    "saved": "Was Sie abgewählt haben, ist beendet.",
    "asked": (
        "Wir haben einen Link an {address} gesandt: Was Sie hinzugenommen haben, kommt, "
        "sobald Sie ihm gefolgt sind."
    ),
    "tracking": "Sie dürfen sehen, ob ich E-Mails öffne und ihren Links folge",
    "track_title": "Dürfen wir sehen, ob Sie unsere E-Mails öffnen?",
    "track_ask": (
        "Wir sähen, ob E-Mails an {address} geöffnet werden und ob ihren Links gefolgt wird, "
        "bis Sie es anders sagen. Ohne das bekommen Sie dieselben E-Mails."
    ),
    "track_button": "Ja, gern",
    "tracked_title": "Vielen Dank",
    "tracked": (
        "Wir sehen, ob E-Mails an {address} geöffnet werden. Ein Link in jeder davon beendet es."
    ),
    "untrack_title": "Öffnen und Klicks",
    "untrack_ask": (
        "Sollen wir nicht mehr sehen, ob E-Mails an {address} geöffnet werden und ob ihren "
        "Links gefolgt wird?"
    ),
    "untrack_button": "Nicht mehr",
    "untracked_title": "Das ist beendet",
    "untracked": (
        "Wir sehen nicht mehr, ob E-Mails an {address} geöffnet werden, auch nicht solche, "
        "die Sie schon haben."
    ),
    "why_title": "Warum bekomme ich das?",
    "why_sent": "Wir haben diese E-Mail am {day} an {address} gesandt: {what}.",
    "why_confirmed": "Am {since} wurde das über einen dorthin gesandten Link bestätigt.",
    "why_given": "Am {since} haben Sie zugestimmt.",
    "why_imported": (
        "Sie haben uns die Adresse am {since} mit einer Bestellung gegeben und nicht widersprochen."
    ),
    "why_contract": (
        "Sie gehört zu dem, was Sie bestellt oder erbeten haben; wir schulden sie Ihnen."
    ),
    "why_opt_out": "Sie haben dem nicht widersprochen.",
    "why_withdrawn": "Seit dem {since} wollen Sie das nicht mehr, und es kommt nicht mehr.",
    "why_gone": "Was vereinbart war, ist nicht mehr verzeichnet.",
    "why_text": "Das haben Sie damals gesehen: {wording}.",
    "why_now": "Abbestellen",
    "busy_title": "Bitte noch einmal",
    "busy": "Es ging gerade nicht. Nichts wurde geändert.",
    "bad_title": "Das war nicht lesbar",
    "bad": "Nichts wurde geändert. Bitte gehen Sie zurück und versuchen Sie es noch einmal.",
    "archive_title": "Von dieser E-Mail gibt es keine Abschrift",
    "archive": "Hier ist nur zu sehen, was allen gesagt wurde.",
}
_ZH: Final[Words] = {
    "news": "新闻资讯",
    "promotion": "优惠信息",
    "survey": "问卷调查",
    "care": "关怀与建议",
    "*": "与订单无关的邮件",
    "service": "订单相关通知",
    "leave_title": "退订",
    "leave_ask": "不再向 {address} 发送{what}？",
    "leave_button": "退订",
    "left_title": "您已退订",
    "left": "不再向 {address} 发送{what}。已发出的邮件可能稍后仍会送达。",
    "confirm_title": "确认您的邮箱地址",
    "confirm_ask": "您希望在 {address} 收到{what}吗？",
    "confirm_button": "是，我希望收到",
    "confirmed_title": "谢谢",
    "confirmed": "{address} 已确认接收：{what}。",
    "void_title": "此链接已失效",
    "void": "链接已过期或已被撤回，请重新订阅。",
    "missing_title": "此处没有内容",
    "missing": "链接不完整，或不是我们发出的。请使用邮件中的完整链接。",
    "preferences_title": "您希望收到哪些邮件？",
    "preferences": "发送至 {address}。取消的内容立即停止；新增的内容需通过我们发送的链接确认。",
    "save": "保存",
    "none": "全部不要",
    "saved_title": "已保存",
    "saved": "您取消的内容已停止。",
    "asked": "我们已向 {address} 发送链接：打开链接确认后，新增内容才会发送。",
    "tracking": "您可以了解我是否打开邮件、点击链接",
    "track_title": "我们可以了解您是否打开我们的邮件吗？",
    "track_ask": (
        "我们将了解发往 {address} 的邮件是否被打开、链接是否被点击，直到您另行告知。"
        "不同意也不影响接收邮件。"
    ),
    "track_button": "可以",
    "tracked_title": "谢谢",
    "tracked": "我们会了解发往 {address} 的邮件是否被打开。每封邮件中都有停止统计的链接。",
    "untrack_title": "打开与点击",
    "untrack_ask": "不再了解发往 {address} 的邮件是否被打开、链接是否被点击？",
    "untrack_button": "不再统计",
    "untracked_title": "已停止",
    "untracked": "我们不再了解发往 {address} 的邮件是否被打开，包括您已收到的邮件。",
    "why_title": "我为什么会收到这封邮件？",
    "why_sent": "我们于 {day} 向 {address} 发送了这封邮件，类别：{what}。",
    "why_confirmed": "{since}，已通过发送到该邮箱的链接确认。",
    "why_given": "{since}，您同意接收。",
    "why_imported": "您于 {since} 下单时提供了该邮箱，且未表示反对。",
    "why_contract": "这封邮件属于您的订单或请求，我们有义务告知您。",
    "why_opt_out": "您未表示反对。",
    "why_withdrawn": "自 {since} 起您不再接收此类邮件，我们不再发送。",
    "why_gone": "当时的约定已无记录。",
    "why_text": "您当时看到的文本：{wording}。",
    "why_now": "退订",
    "busy_title": "请再试一次",
    "busy": "操作未成功，没有任何更改。",
    "bad_title": "无法读取",
    "bad": "没有任何更改。请返回重试。",
    "archive_title": "这封邮件没有网页版",
    "archive": "此处仅显示面向所有人的内容。",
}
WORDS: Final[Mapping[str, Words]] = dict(zip(LANGUAGES, (_EN, _DE, _ZH), strict=True))


def language_of(*wishes: str | None) -> str:
    """Return the first language that is wished for and that the pages speak; else English."""
    for wish in wishes:
        for each in _tags(wish or ""):
            if each in WORDS:
                return each
    return LANGUAGES[0]


def _tags(wish: str) -> Iterator[str]:
    """Go through the languages of a header such as `de-AT,de;q=0.9`, in the order they stand."""
    for each in wish.split(",")[:20]:
        yield each.partition(";")[0].strip().partition("-")[0].lower()

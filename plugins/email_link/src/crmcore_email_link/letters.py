"""Letters: the mails that the plugin writes by itself, in each language it speaks."""

# ruff: noqa: RUF001 - Chinese has its own punctuation

from __future__ import annotations

from typing import Final

from crmcore_email_link.templates import LocalisedTemplate, MailTemplate

LANGUAGES: Final = ("en", "de", "zh")
"""Those that the plugin's own mails and pages are in."""

CONFIRM: Final = "email_link.confirm"
"""The mail by which somebody confirms that they signed up; it says nothing else."""

ASK_TRACKING: Final = "email_link.ask_tracking"
"""The mail by which somebody lets the shop see whether they open mails and follow links."""

_CONFIRM: Final = {
    "en": (
        "Please confirm your address",
        "Somebody, most likely you, asked {{ sender_name }} for mail to this address.\n\n"
        "If it was you, please confirm it within {{ days }} days:\n{{ confirm_url }}\n\n"
        "If it was not, do nothing: nothing more will come, and the request is forgotten. "
        "To let us know at once:\n{{ refuse_url }}\n\n"
        "{{ sender_name }}\n{{ postal_address }}\n",
    ),
    "de": (
        "Bitte bestätigen Sie Ihre Adresse",
        "Jemand, vermutlich Sie, hat bei {{ sender_name }} E-Mails an diese Adresse bestellt.\n\n"
        "Wenn Sie es waren, bestätigen Sie es bitte innerhalb von {{ days }} Tagen:\n"
        "{{ confirm_url }}\n\n"
        "Wenn nicht, tun Sie nichts: Es kommt nichts weiter, und die Bestellung wird vergessen. "
        "Um es uns gleich zu sagen:\n{{ refuse_url }}\n\n"
        "{{ sender_name }}\n{{ postal_address }}\n",
    ),
    "zh": (
        "请确认您的邮箱地址",
        "有人（很可能是您本人）请求 {{ sender_name }} 向此邮箱发送邮件。\n\n"
        "如果是您本人，请在 {{ days }} 天内确认：\n{{ confirm_url }}\n\n"
        "如果不是，请忽略本邮件：您不会再收到邮件，该请求将被删除。"
        "您也可以立即告知我们：\n{{ refuse_url }}\n\n"
        "{{ sender_name }}\n{{ postal_address }}\n",
    ),
}

_ASK_TRACKING: Final = {
    "en": (
        "May we see whether you open our mails?",
        "Somebody, most likely you, told {{ sender_name }} that it may see whether mails to this "
        "address are opened and their links followed. It is not needed to get them.\n\n"
        "If it was you, please confirm it within {{ days }} days:\n{{ confirm_url }}\n\n"
        "If it was not, do nothing: nothing is measured.\n\n"
        "{{ sender_name }}\n{{ postal_address }}\n",
    ),
    "de": (
        "Dürfen wir sehen, ob Sie unsere E-Mails öffnen?",
        "Jemand, vermutlich Sie, hat {{ sender_name }} erlaubt zu sehen, ob E-Mails an diese "
        "Adresse geöffnet werden und ob ihren Links gefolgt wird. Um sie zu erhalten, ist das "
        "nicht nötig.\n\n"
        "Wenn Sie es waren, bestätigen Sie es bitte innerhalb von {{ days }} Tagen:\n"
        "{{ confirm_url }}\n\n"
        "Wenn nicht, tun Sie nichts: Es wird nichts gemessen.\n\n"
        "{{ sender_name }}\n{{ postal_address }}\n",
    ),
    "zh": (
        "我们可以了解您是否打开我们的邮件吗？",
        "有人（很可能是您本人）允许 {{ sender_name }} 了解发往此邮箱的邮件是否被打开、"
        "链接是否被点击。不同意也不影响接收邮件。\n\n"
        "如果是您本人，请在 {{ days }} 天内确认：\n{{ confirm_url }}\n\n"
        "如果不是，请忽略本邮件：不会进行任何统计。\n\n"
        "{{ sender_name }}\n{{ postal_address }}\n",
    ),
}

FOOTERS: Final = {
    "en": ("You get this from", "Unsubscribe", "Why did I get this?"),
    "de": ("Sie erhalten dies von", "Abbestellen", "Warum bekomme ich das?"),
    "zh": ("本邮件发送者：", "退订", "我为什么会收到这封邮件？"),
}
"""What stands below a mail to many that says it nowhere: sender, way out, and reason."""


def own_letters() -> dict[str, LocalisedTemplate]:
    """Return the plugin's own templates, by name."""
    found = {}
    for name, texts in ((CONFIRM, _CONFIRM), (ASK_TRACKING, _ASK_TRACKING)):
        templates = {
            language: MailTemplate(f"{name}.{language}", subject=subject, text=text)
            for language, (subject, text) in texts.items()
        }
        found[name] = LocalisedTemplate(name, templates, fallbacks=("en",))
    return found

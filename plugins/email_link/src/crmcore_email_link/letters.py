"""Letters: the mails that the plugin writes by itself, in each language it speaks."""

# ruff: noqa: RUF001 - Chinese has its own punctuation

from __future__ import annotations

from typing import Final

from crmcore_email_link.templates import LocalisedTemplate, MailTemplate

LANGUAGES: Final = ("en", "de", "zh")
"""Those that the plugin's own mails and pages are in."""

CONFIRM: Final = "email_link.confirm"
"""The mail by which somebody confirms that they signed up; it says nothing else."""

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

FOOTERS: Final = {
    "en": ("You get this from", "Unsubscribe", "Why did I get this?"),
    "de": ("Sie erhalten dies von", "Abbestellen", "Warum bekomme ich das?"),
    "zh": ("本邮件发送者：", "退订", "我为什么会收到这封邮件？"),
}
"""What stands below a mail to many that says it nowhere: sender, way out, and reason."""


def own_letters() -> dict[str, LocalisedTemplate]:
    """Return the plugin's own templates, by name."""
    templates = {
        language: MailTemplate(f"{CONFIRM}.{language}", subject=subject, text=text)
        for language, (subject, text) in _CONFIRM.items()
    }
    return {CONFIRM: LocalisedTemplate(CONFIRM, templates, fallbacks=("en",))}

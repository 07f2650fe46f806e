"""A shop whose mail is looked at from the command line, for the tests of its commands."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crmcore.cli.root import crm as root

MAIL: dict[str, Any] = {
    "sender": "shop@shop.example",
    "sender_name": "The Shop",
    "postal_address": "1 High Street, Ambleside",
    "base_url": "https://shop.example/m/",
    "secret_file": "secret",
    "languages": ["en", "de"],
    "templates": "templates",
    "host": "127.0.0.1",
    "tls": "never",
}
HTML = (
    '<html><body><img src="cid:leaf.png" alt="A leaf"><h1>Hello {{ first_name }}</h1>'
    '{% for each in products %}<p>{{ each.name }}</p>{% endfor %}<a href="{{ shop_url }}">Go</a>'
    "</body></html>"
)
TEMPLATES = {
    "news.en.subject": "New for {{ first_name }}",
    "news.en.html": HTML,
    "news.de.subject": "Neu für {{ first_name }}",
    "news.de.html": HTML.replace("Hello", "Guten Tag"),
}


def png() -> bytes:
    """Return a small image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0abcdef\0abcdef")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )


def pem() -> bytes:
    """Return a new private key."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Desk:
    """A folder with a shop's crm.toml and templates, and `crm email` called there."""

    def __init__(self, folder: Path, url: str | None = None, **settings: Any) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder}/crm.db"
        (folder / "secret").write_text("6b" * 32)
        (folder / "templates").mkdir()
        (folder / "templates" / "leaf.png").write_bytes(png())
        for name, text in TEMPLATES.items():
            (folder / "templates" / name).write_text(text, encoding="utf-8")
        self.set(**settings)

    def set(self, **settings: Any) -> None:
        """Write the configuration; None leaves a setting out."""
        lines = [
            f"{name} = {json.dumps(value)}"
            for name, value in {**MAIL, **settings}.items()
            if value is not None
        ]
        text = f'[crm]\ndatabase = "{self.url}"\n\n[plugins.email_link]\n' + "\n".join(lines)
        (self.folder / "crm.toml").write_text(text + "\n", encoding="utf-8")

    def run(self, *words: str, ends: int = 0) -> str:
        """Call a command, which is to end with a code, and return what it said."""
        done = CliRunner().invoke(root, [str(each) for each in words])
        assert ends == done.exit_code, (words, done.output, done.exception)
        return done.output

    def email(self, *words: str, ends: int = 0) -> str:
        return self.run("email", *words, ends=ends)

    def json(self, *words: str, ends: int = 0) -> Any:
        return json.loads(self.email(*words, "--json", ends=ends))

"""The mails, one file each, newest first."""

import email
import email.policy
import re
import time
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

SHOWN = 200


@dataclass(frozen=True)
class Letter:
    """One mail. `received` is in Unix seconds."""

    id: str
    sender: str
    to: list[str]
    subject: str
    received: float
    text: str


@dataclass(frozen=True)
class Letters:
    """The folder."""

    folder: Path

    def keep(self, content: bytes, recipients: list[str]) -> None:
        """Store a mail at once, its envelope's recipients in a header of their own."""
        name = f"{time.time_ns():020d}"
        unfinished = self.folder / f"{name}.part"
        unfinished.write_bytes(b"X-Envelope-To: " + ", ".join(recipients).encode() + b"\r\n" + content)
        unfinished.rename(self.folder / f"{name}.eml")

    def newest(self, to: str | None = None) -> list[Letter]:
        """The newest mails, those to one address if it is given."""
        paths = sorted(self.folder.glob("*.eml"), reverse=True)
        if to is None:
            return [read(path) for path in paths[:SHOWN]]
        return [letter for letter in map(read, paths) if to.lower() in (one.lower() for one in letter.to)][:SHOWN]

    def get(self, name: str) -> Letter | None:
        path = self.folder / f"{name}.eml"
        return read(path) if re.fullmatch(r"\d{20}", name) and path.exists() else None


def read(path: Path) -> Letter:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return Letter(
        id=path.stem,
        sender=str(message["From"] or ""),
        to=[one.strip() for one in str(message["X-Envelope-To"] or "").split(",")],
        subject=str(message["Subject"] or "(no subject)"),
        received=int(path.stem) / 1e9,
        text=text_of(message),
    )


def text_of(message: EmailMessage) -> str:
    """The plain text, or the HTML without its tags if there is none."""
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    content = str(body.get_content()).replace("\r\n", "\n")
    if body.get_content_subtype() == "plain":
        return content
    words = _Words()
    words.feed(content)
    return "".join(words.found)


class _Words(HTMLParser):
    """Text of an HTML document, each link's address after it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if address := dict(attributes).get("href"):
            self.found.append(f" {address} ")

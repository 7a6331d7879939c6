import json
import os
import smtplib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from devstack.places import CHECKOUT
from devstack.ports import HOST, Ports
from devstack.process import spawn
from tests.devstack.stack import answers
from tests.waiting import wait_until


class Mailbox:
    def __init__(self, folder: Path, port: int, smtp_port: int) -> None:
        self.folder, self.url, self.smtp_port = folder, f"http://{HOST}:{port}", smtp_port

    def send(self, to: str, subject: str, text: str, html: str | None = None) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "noreply@localhost", to, subject
        mail.set_content(text) if html is None else mail.set_content(html, subtype="html")
        with smtplib.SMTP(HOST, self.smtp_port, timeout=5) as smtp:
            smtp.send_message(mail)

    def get(self, path: str) -> tuple[str, str]:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read().decode(), answer.headers["Content-Security-Policy"]

    def messages(self, query: str = "") -> list[dict[str, object]]:
        return list(json.loads(self.get("/api/messages" + query)[0]))


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    folder = tmp_path_factory.mktemp("mail")
    ports = Ports()
    port, smtp_port = ports.any(), ports.any()
    command = [sys.executable, "-m", "devstack.mailbox", str(folder), "--port", str(port)]
    command += ["--smtp-port", str(smtp_port)]
    process = spawn(command, log=folder / "log", environment=os.environ, cwd=CHECKOUT)
    mailbox = Mailbox(folder, port, smtp_port)
    wait_until(lambda: answers(mailbox.url + "/readyz"), "the mailbox")
    yield mailbox
    process.terminate()
    assert process.wait(10) == 0


def test_the_newest_mail_to_an_address_comes_first(mailbox: Mailbox) -> None:
    mailbox.send("ann@example.com", "First", "one")
    mailbox.send("bob@example.com", "Other", "two")
    mailbox.send("Ann@example.com", "Second – ü", "three")
    found = mailbox.messages("?to=ann@example.com")
    assert [mail["subject"] for mail in found] == ["Second – ü", "First"]
    assert found[1]["text"] == "one\n"
    assert found[1]["to"] == ["ann@example.com"]


def test_nothing_is_lost_by_a_restart_because_mails_are_files(mailbox: Mailbox) -> None:
    before = len(list(mailbox.folder.glob("*.eml")))
    mailbox.send("carl@example.com", "Kept", "text")
    assert len(list(mailbox.folder.glob("*.eml"))) == before + 1


def test_links_can_be_followed_and_markup_is_escaped(mailbox: Mailbox) -> None:
    mailbox.send("dora@example.com", "<b>Hi</b>", "See http://localhost:8000/a?b=1&c=2. <script>x</script>")
    name = mailbox.messages("?to=dora@example.com")[0]["id"]
    page, policy = mailbox.get(f"/mail/{name}")
    assert '<a href="http://localhost:8000/a?b=1&amp;c=2">' in page
    assert "<script>" not in page
    assert "&lt;b&gt;Hi&lt;/b&gt;" in page
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_mail_without_plain_text_is_readable(mailbox: Mailbox) -> None:
    mailbox.send("eve@example.com", "HTML", "", html='<p>Hello <a href="http://localhost/x">there</a></p>')
    text = str(mailbox.messages("?to=eve@example.com")[0]["text"])
    assert "Hello" in text
    assert "http://localhost/x" in text


def test_a_file_outside_the_folder_cannot_be_read(mailbox: Mailbox) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        mailbox.get("/mail/..%2Flog")
    assert caught.value.code == 404

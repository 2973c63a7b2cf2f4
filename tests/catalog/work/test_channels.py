"""Channels: what arrives at a real web hook and a real mail server, and that no secret leaks."""

import logging

import pytest
from pydantic import SecretStr

from catalog.work.channels import UNKNOWN, Message, channels_of, ping, send
from tests.listeners import MailBox, WebHook, free_port, mail_server, web_hook

MESSAGE = Message("viewcast: a title", "What is wrong.\n\nWhat to do.")
SECRET = "hush8317hush8317hush8317hush"


@pytest.fixture
def hook():
    with web_hook() as listening:
        yield listening


@pytest.fixture
def box():
    with mail_server(SECRET) as listening:
        yield listening


def sent(url: str, message: Message = MESSAGE):
    [channel] = channels_of([SecretStr(url)])
    return send(channel, message, retry_after_s=0)


def test_a_web_hook_gets_a_json_document(hook: WebHook) -> None:
    delivery = sent(f"json://127.0.0.1:{hook.port}/in/{SECRET}")

    assert (delivery.channel, delivery.reason, delivery.n_tries) == ("1:json", None, 1)
    [(method, path, body)] = hook.asked
    assert (method, path) == ("POST", f"/in/{SECRET}")
    assert (body["title"], body["message"]) == (MESSAGE.title, MESSAGE.text)


def test_mattermost_gets_what_it_and_slack_read(hook: WebHook) -> None:
    assert sent(f"mmost://127.0.0.1:{hook.port}/{SECRET}").reason is None

    [(_method, path, body)] = hook.asked
    assert path == f"/hooks/{SECRET}"
    assert MESSAGE.title in body["text"]
    assert "What to do." in body["text"]


def mail(box: MailBox, password: str) -> str:
    people = "from=viewcast@example.org&to=ops@example.org"
    return f"mailto://user:{password}@127.0.0.1:{box.port}?{people}"


def test_a_mail_server_gets_a_mail_from_who_knows_its_password(box: MailBox) -> None:
    assert sent(mail(box, SECRET)).reason is None

    [(recipients, subject, text)] = box.mails
    assert (recipients, subject) == (["ops@example.org"], MESSAGE.title)
    assert text.split() == MESSAGE.text.split()


def test_a_message_is_tried_three_times(hook: WebHook) -> None:
    url = f"json://127.0.0.1:{hook.port}/"
    hook.answers += [500, 503]
    assert (sent(url).reason, len(hook.asked)) == (None, 3)

    hook.answers += [403, 403, 403]
    delivery = sent(url)
    assert (delivery.reason, delivery.n_tries, len(hook.asked)) == ("HTTP 403", 3, 6)


def test_an_answer_from_elsewhere_is_none(hook: WebHook) -> None:
    hook.answers += [302] * 3
    assert sent(f"json://127.0.0.1:{hook.port}/").reason == "HTTP 302"
    hook.answers += [302] * 3
    assert ping(f"http://127.0.0.1:{hook.port}/p", retry_after_s=0).reason == "HTTP 302"
    assert "/elsewhere" not in hook.paths


def test_why_a_message_was_not_taken_is_told_without_its_address(
    hook: WebHook, box: MailBox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    closed = free_port()
    hook.answers += [404] * 3
    urls = {
        f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}": "HTTP 404",
        f"json://{SECRET}.invalid/": "no such host",
        f"mmost://127.0.0.1:{closed}/{SECRET}": "connection refused",
        f"slack:///{SECRET}": UNKNOWN,
        SECRET: UNKNOWN,
    }
    said = [sent(url) for url in urls]
    pinged = ping(f"http://127.0.0.1:{closed}/{SECRET}", retry_after_s=0)

    assert [delivery.reason for delivery in said] == list(urls.values())
    assert pinged.reason == "connection refused"
    assert SECRET not in repr([*said, pinged, *channels_of([SecretStr(url) for url in urls])])
    assert SECRET not in caplog.text
    # And afterwards the libraries log again.
    logging.getLogger("httpx").info("heard")
    assert "heard" in caplog.text


def test_a_wrong_password_is_told_by_the_server_s_number(box: MailBox) -> None:
    assert sent(mail(box, "wrong")).reason == "SMTP 535"
    assert box.mails == []

import json

from scraper.session import document_header


def entry(method, kind, **headers):
    params = {"type": kind, "response": {"headers": headers}}
    return json.dumps({"message": {"method": method, "params": params}, "webview": "x"})


def test_a_pages_own_header_is_found_among_what_the_browser_noted():
    noted = [
        entry("Network.requestWillBeSent", "Document"),
        entry("Network.responseReceived", "Document", **{"Retry-After": "1"}),
        entry("Network.responseReceived", "Document", **{"retry-AFTER": "7"}),
        entry("Network.responseReceived", "Image", **{"Retry-After": "9"}),
    ]
    assert document_header(noted, "retry-after") == "7"


def test_a_header_that_is_not_there_is_empty():
    assert document_header([entry("Network.responseReceived", "Document")], "retry-after") == ""
    assert document_header([], "retry-after") == ""

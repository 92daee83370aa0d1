"""Radicale from Debian's package: CalDAV and CardDAV, that is WebDAV's methods with bodies and answers of
XML, authentication by the application, conditional requests."""

import base64
import re
import xml.etree.ElementTree as ElementTree

import pytest
from harness import server

pytest.importorskip("radicale", reason="radicale is not installed")
pytestmark = pytest.mark.skipif(server.sanitized(), reason="ASan calls crypt() of a library loaded later at 0")

USER = ("Authorization", "Basic " + base64.b64encode("ada:l\u00f6velace".encode()).decode())
XML = "application/xml; charset=utf-8"
EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Test//EN\r
BEGIN:VEVENT\r
UID:event-{n}\r
SUMMARY:Besprechung {n} \u00fcber K\u00e4se\r
DTSTART:202601{n:02d}T100000Z\r
DTEND:202601{n:02d}T110000Z\r
DTSTAMP:20260101T000000Z\r
END:VEVENT\r
END:VCALENDAR\r
"""
CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:card\r\nN:Lovelace;Ada\r\nFN:Ada Lovelace\r\nEND:VCARD\r\n"
NAMES = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="urn:ietf:params:xml:ns:carddav"'
PROPS = (f"<propfind {NAMES}><prop><resourcetype/><displayname/><getetag/><C:calendar-description/>"
         "</prop></propfind>")


@pytest.fixture(scope="module")
def site(real):
    # The token of a state holds random names of its history.
    return real("radicale", mount="/cal", vhost="    WSGIPassAuthorization On\n",
                scrub=[(r"sync/[0-9a-f]+", "TOKEN")])


def dav(browser, method, path, body=None, *fields):
    """One request by the user, its body XML unless it has a type."""
    fields = [USER] + list(fields)
    if body is not None and not any(n == "Content-Type" for n, _ in fields):
        fields.append(("Content-Type", XML))
    rsp = browser.request(method, path, fields, None if body is None else body.encode())
    if rsp.status == 207:
        assert ElementTree.fromstring(rsp.body).tag == "{DAV:}multistatus"
    return rsp


def hrefs(rsp):
    return [e.text for e in ElementTree.fromstring(rsp.body).iter("{DAV:}href")]


def test_85_01_only_the_user_comes_in(play, log):
    log.allow("Failed login attempt from 127.0.0.1: 'ada'")

    def visit(browser):
        asked = browser.request("PROPFIND", "/ada/")
        assert asked.status == 401 and asked.get("WWW-Authenticate") == 'Basic realm="calendars"'
        wrong = ("Authorization", "Basic " + base64.b64encode(b"ada:wrong").decode())
        assert browser.request("PROPFIND", "/ada/", [wrong]).status == 401
        assert dav(browser, "PROPFIND", "/ada/", None, ("Depth", "0")).status == 207
        assert dav(browser, "PROPFIND", "/bob/", None, ("Depth", "0")).status == 403
        options = browser.request("OPTIONS", "/ada/")
        assert "addressbook" in (options.get("DAV") or dav(browser, "OPTIONS", "/ada/").get("DAV"))
    play(visit)


def test_85_02_life_of_a_calendar(play):
    def visit(browser):
        made = dav(browser, "MKCALENDAR", "/ada/work/", f"""<C:mkcalendar {NAMES}><set><prop>
            <displayname>Arbeit \u2014 \u4ed5\u4e8b</displayname>
            <C:calendar-description>&lt;all&gt;</C:calendar-description>
            </prop></set></C:mkcalendar>""")
        assert made.status == 201
        for n in range(1, 13):
            put = dav(browser, "PUT", f"/ada/work/event%20{n}.ics", EVENT.format(n=n),
                      ("Content-Type", "text/calendar; charset=utf-8"), ("If-None-Match", "*"))
            assert put.status == 201
        again = dav(browser, "PUT", "/ada/work/event%203.ics", EVENT.format(n=3),
                    ("Content-Type", "text/calendar"), ("If-None-Match", "*"))
        assert again.status == 412
        got = dav(browser, "GET", "/ada/work/event%203.ics")
        assert "\u00fcber K\u00e4se" in got.body.decode() and got.get("ETag")
        changed = EVENT.format(n=3).replace("Besprechung", "Feier")
        for tag, status in ((got.get("ETag"), 201), (got.get("ETag"), 412)):
            assert dav(browser, "PUT", "/ada/work/event%203.ics", changed,
                       ("Content-Type", "text/calendar"), ("If-Match", tag)).status == status
        listed = dav(browser, "PROPFIND", "/ada/work/", PROPS, ("Depth", "1"))
        assert len(hrefs(listed)) == 13 and "/cal/ada/work/event%203.ics" in hrefs(listed)
        assert dav(browser, "MOVE", "/ada/work/event%204.ics", None,
                   ("Destination", "http://app.example/cal/ada/work/moved.ics")).status == 201
        assert dav(browser, "GET", "/ada/work/event%204.ics").status == 404
        assert dav(browser, "DELETE", "/ada/work/moved.ics").status == 200
        whole = dav(browser, "GET", "/ada/work/")
        assert whole.body.decode().count("BEGIN:VEVENT") == 11
        assert dav(browser, "HEAD", "/ada/work/").get("Content-Length") == str(len(whole.body))
    play(visit)


def test_85_03_reports(play, log):
    log.allow("Bad REPORT request", traceback=True)

    def visit(browser):
        inside = dav(browser, "REPORT", "/ada/work/", f"""<C:calendar-query {NAMES}>
            <prop><getetag/><C:calendar-data/></prop><C:filter><C:comp-filter name="VCALENDAR">
            <C:comp-filter name="VEVENT"><C:time-range start="20260105T000000Z" end="20260108T000000Z"/>
            </C:comp-filter></C:comp-filter></C:filter></C:calendar-query>""", ("Depth", "1"))
        assert len(hrefs(inside)) == 3
        several = dav(browser, "REPORT", "/ada/work/", f"""<C:calendar-multiget {NAMES}><prop><getetag/>
            </prop><href>/cal/ada/work/event%201.ics</href><href>/cal/ada/work/none.ics</href>
            </C:calendar-multiget>""", ("Depth", "1"))
        assert "404 Not Found" in several.text
        changes = dav(browser, "REPORT", "/ada/work/", f"""<sync-collection {NAMES}><sync-token/>
            <sync-level>1</sync-level><prop><getetag/></prop></sync-collection>""")
        assert re.search(r"<sync-token>http://radicale.org/ns/sync/", changes.text)
        assert dav(browser, "REPORT", "/ada/work/", "<broken").status == 400
    play(visit)


def test_85_04_addressbook_and_properties(play):
    def visit(browser):
        assert dav(browser, "MKCOL", "/ada/people/", f"""<mkcol {NAMES}><set><prop><resourcetype><collection/>
            <D:addressbook/></resourcetype></prop></set></mkcol>""").status == 201
        assert dav(browser, "PUT", "/ada/people/ada.vcf", CARD, ("Content-Type", "text/vcard")).status == 201
        patch = dav(browser, "PROPPATCH", "/ada/people/", f"""<propertyupdate {NAMES}><set><prop>
            <displayname>Leute</displayname></prop></set></propertyupdate>""")
        assert patch.status == 207
        assert "Leute" in dav(browser, "PROPFIND", "/ada/people/", PROPS, ("Depth", "0")).text
        assert dav(browser, "DELETE", "/ada/people/").status == 200
        assert dav(browser, "PROPFIND", "/ada/people/", PROPS, ("Depth", "0")).status == 404
    play(visit)


def test_85_05_large_calendar_in_one_request(play):
    """A whole collection put at once, a megabyte each way."""
    events = "".join(re.sub(r"(?s).*(BEGIN:VEVENT.*END:VEVENT\r\n).*", r"\1", EVENT.format(n=1))
                     .replace("event-1", f"many-{n}").replace("Besprechung 1", "x" * 5_000) for n in range(50))
    body = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\n{events}END:VCALENDAR\r\n"

    def visit(browser):
        assert dav(browser, "PUT", "/ada/many/", body, ("Content-Type", "text/calendar")).status == 201
        assert dav(browser, "GET", "/ada/many/").body.count(b"BEGIN:VEVENT") == 50
        assert len(hrefs(dav(browser, "PROPFIND", "/ada/many/", PROPS, ("Depth", "1")))) == 51
    play(visit)


def test_85_06_methods_that_do_not_exist(play):
    def visit(browser):
        for method in ("LOCK", "PATCH", "ODD-METHOD"):
            assert dav(browser, method, "/ada/work/").status in (405, 501)
        assert dav(browser, "POST", "/ada/", "x").status == 405
    play(visit)

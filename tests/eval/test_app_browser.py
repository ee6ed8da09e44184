"""The web page as visitors use it: by mouse and by keyboard, wide and narrow, light and dark, with hostile cards."""

import json
import time

import pytest
from chromium import CHROMIUM, chromium
from test_app import CARD, EVIL, GOOD, RAW
from web_server import running

from eval.web.limits import UPLOAD_BYTES

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")]
# As a person's typing does it: the framework listens to the event.
FILL = """(label, text) => {
  const box = [...document.querySelectorAll("textarea, input")].find((one) => one.closest("label")?.textContent.includes(label));
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), "value").set.call(box, text);
  box.dispatchEvent(new Event("input", { bubbles: true }));
}"""
BUTTON = "[...document.querySelectorAll('button')].find((one) => one.textContent.includes('{}'))"
NAMED = {"button", "textbox", "link", "checkbox", "radio", "region"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(f"{GOOD}\n{EVIL}", tmp_path_factory.mktemp("uploads"), pause_s=0.004) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


def opened(page, server, width=1280, dark=False):
    page.size(width, 900, dark)
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=server.address)
    page.wait(f"!!{BUTTON.format('Summarise')}")
    page.run(f"({FILL})('Model card', {json.dumps(CARD + EVIL)})")


def press(page, words):
    page.run(BUTTON.format(words) + ".click()")


def summarised(page, server, **how):
    opened(page, server, **how)
    press(page, "Summarise")
    page.wait("!!document.querySelector('.cs.done')")


def nodes(page):
    """Role and accessible name of all that is on the page."""
    page.send("Accessibility.enable")
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    return [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in tree if not one["ignored"]]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_hostile_card_does_nothing_and_the_page_fits(page, server, width, dark):
    summarised(page, server, width=width, dark=dark)
    assert page.run("document.title") == "Card Summarizer"
    asked = page.run("performance.getEntriesByType('resource').map((one) => one.name)")
    assert asked
    assert all(address.startswith((server.address, "blob:", "data:")) for address in asked)
    assert page.run("document.querySelectorAll('.cs img, .cs script, .cs iframe, .cs svg').length") == 0
    assert EVIL.split("\n")[2] in page.run("document.querySelector('.cs .source').textContent")
    assert page.run("document.documentElement.scrollWidth") <= width
    ink, paper = page.run(
        "['color', 'backgroundColor'].map((of) => getComputedStyle(document.querySelector('.cs .source'))[of])"
    )
    light = [sum(map(int, one.strip("rgb()").split(","))) for one in (ink, paper)]
    assert (light[0] > light[1]) == dark
    assert [role for role, name in nodes(page) if role in NAMED and not name.strip()] == []


def test_marks_and_places_lead_to_each_other_by_keyboard(page, server):
    summarised(page, server)
    page.run("document.querySelector('.summary').focus()")
    page.press("Tab")
    assert page.run("document.activeElement.closest('.summary mark')?.textContent") == "Quinukis-55B"
    assert page.run("document.querySelector('#cs-tip').textContent").startswith("name: the source states this name in")
    page.press("Enter")
    page.wait("!!document.activeElement.closest('.source mark.here')")
    page.press("Enter")
    page.wait("document.activeElement.id.startsWith('cs-mark-')")
    page.press("Escape")
    assert page.run("document.querySelector('#cs-tip').hidden")


def test_a_press_scrolls_the_other_side_to_the_place(page, server):
    summarised(page, server)
    page.run("[...document.querySelectorAll('.summary mark')].find((one) => one.textContent === '40.9').click()")
    page.wait("document.querySelector('.source').scrollTop > 50")
    time.sleep(0.8)
    assert page.run("document.querySelector('.source mark.here').textContent") == "40.9"
    inside = "((one, box) => one.top >= box.top && one.bottom <= box.bottom)"
    assert page.run(
        f"{inside}(document.querySelector('.source .here').getBoundingClientRect(), document.querySelector('.source').getBoundingClientRect())"
    )


def test_downloads_hold_the_markdown_and_the_provenance(page, server, tmp_path):
    summarised(page, server)
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    press(page, "Download with provenance")
    file = tmp_path / "Quinukis-55B.json"
    end = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["summary"] == server.writer.text
    assert told["model"]["name"] == "stub"
    page.click(BUTTON.format("Copy as Markdown"))
    page.wait("document.querySelector('.said').textContent === 'copied'")


def test_a_file_that_is_too_large_is_refused_in_words(page, server, tmp_path):
    opened(page, server)
    large, whole = tmp_path / "large.md", tmp_path / "whole.md"
    large.write_bytes(b"word " * (UPLOAD_BYTES // 5 + 1))
    whole.write_bytes(CARD.encode().ljust(UPLOAD_BYTES))
    for file, words in ((large, "maximum allowed size"), (whole, "whole.md")):
        root = page.send("DOM.getDocument")["root"]["nodeId"]
        box = page.send("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
        page.send("DOM.setFileInputFiles", nodeId=box, files=[str(file)])
        page.wait(f"document.body.innerText.includes({words!r}) || document.body.innerText.includes('whole')")
        assert words in page.run("document.body.innerText")


def test_cancel_ends_the_work_and_the_next_one_may_come(page, server, monkeypatch):
    monkeypatch.setattr(server.writer, "pause_s", 0.05)
    opened(page, server)
    before = server.writer.written
    press(page, "Summarise")
    page.wait("!!document.querySelector('.cs .growing')")
    press(page, "Cancel")
    page.wait("document.querySelector('.cs .bad')?.textContent.includes('Cancelled')")
    time.sleep(1)  # Gradio takes a press that comes within half a second for a second one of the same
    monkeypatch.setattr(server.writer, "pause_s", 0.0)
    press(page, "Summarise")
    page.wait("!!document.querySelector('.cs.done')")
    assert server.writer.written == before + 1
    assert RAW.model_id.partition("/")[2] in page.run("document.querySelector('.cs.done').getAttribute('aria-label')")

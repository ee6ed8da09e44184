"""The report of a small run, read as a file and as a browser shows it."""

import json
import re
import shutil
import subprocess

import pyarrow.parquet as pq
import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from data_prep.schema import HeldOut, read_jsonl
from eval.report import card_title, lengths, markdown_table, pieces, probability, signed
from tests.fixtures.small_run import HOSTILE, UNKNOWN_NUMBER, make_run, run_stage

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run scored and reported by the commands; no test changes it."""
    run_dir = tmp_path_factory.mktemp("run")
    make_run(run_dir)
    for stage, *arguments in (
        ("score", "--score.systems", "[lead, base, tuned]", "--score.bootstrap_samples", "1000"),
        ("report",),
    ):
        finished = run_stage(f"eval.{stage}", run_dir, *arguments)
        assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(f"report: {run_dir / 'eval' / 'report.html'}")
    return run_dir


@pytest.fixture(scope="module")
def page(run):
    return (run / "eval" / "report.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_runs_only_its_own_script(page):
    tree = HTMLParser(page)
    policy = tree.css_first('meta[http-equiv="Content-Security-Policy"]').attributes["content"]
    assert re.match(r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]+'; img-src data:;", policy)
    assert not tree.css("link, img, iframe, [src]")
    assert all(link.attributes["href"].startswith("#") for link in tree.css("a"))
    assert "url(" not in tree.css_first("style").text()


def test_untrusted_text_stays_data(page):
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 2
    data = json.loads(HTMLParser(page).css_first("script#data").text())
    assert data["cards"][0]["source"].rstrip().endswith(HOSTILE)


def test_tables_say_what_they_rest_on(page):
    text = HTMLParser(page).body.text()
    groups = [row.text() for row in HTMLParser(page).css("tr.group")]
    assert [group.strip().split("  ")[0][:12] for group in groups] == ["Checks (also", "Independent "]
    assert "12 held-out cards" in text
    assert "4 families" in text
    row = next(row for row in HTMLParser(page).css("table.results tr") if "passes numbers" in row.text())
    assert row.css("td")[1].css_first(".mean").text() == "66.7"
    assert row.css("td")[1].css_first("a").attributes["href"] == "#show=base&fails=numbers"
    assert "n 12" in row.css("td")[1].text()


def test_a_second_run_has_nothing_to_do(run):
    assert "report: done already" in run_stage("eval.report", run).stdout


def test_without_scores_the_next_move_is_named(tmp_path):
    make_run(tmp_path)
    finished = run_stage("eval.report", tmp_path)
    assert finished.returncode == 2
    assert "run eval.score first" in finished.stderr


def test_table_to_paste(run):
    table = (run / "eval" / "results.md").read_text()
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert table == markdown_table(metrics)
    assert "12 held-out cards of 4 families" in table
    line = next(line for line in table.splitlines() if line.startswith("| base |"))
    assert line.startswith("| base | 0.0 [")
    assert any(line.startswith("| tuned − base | passes every check | +100.0 [") for line in table.splitlines())
    widths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
    assert widths == {8, 6}


def test_pieces_give_the_text_back_and_nest_spans():
    text = "a 🚀 98.7 and 98.7 again"
    cut = list(pieces(text, [(2, 8), (4, 8), (20, 99)]))
    assert cut == ["a ", ("🚀 ", [0]), ("98.7", [0, 1]), " and 98.7 ag", ("ain", [2])]
    assert list(pieces("", [(0, 5)])) == []
    assert list(pieces("plain", [(2, 2)])) == ["pl", "ain"]


def test_lengths_beyond_the_axis_stand_in_the_last_bar():
    rows = [{"system": "a", "words": float(count)} for count in (0, 49, 50, 9000)]
    bars = lengths(["a", "b"], rows)
    assert bars["clipped"]
    assert bars["bars"] == 30
    assert (bars["shares"]["a"][0], bars["shares"]["a"][1], bars["shares"]["a"][-1]) == (0.5, 0.25, 0.25)
    assert set(bars["shares"]["b"]) == {0}


def test_words_for_numbers():
    assert [signed(value, "share") for value in (0.1234, -0.2, 0.0, -0.0001, None)] == ["+12.3", "−20.0", "0.0", "0.0", "–"]
    assert [probability(p) for p in (0.0001, 0.0312, None)] == ["<0.001", "0.031", "–"]


def test_a_card_is_called_what_its_source_calls_it(run):
    cards = list(read_jsonl(run / "data" / "heldout.jsonl", HeldOut))
    assert card_title(cards[0]) == "quillon/Velora-3B"
    assert card_title(HeldOut("0" * 16, [], "no name", "", "f")) == "0" * 16


# In a browser ----------------------------------------------------------------------------------------------------------

QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")


def browse(tmp_path, page, address="", width=1400):
    """The page's tree after its script ran, in a fresh headless profile."""
    profile = tmp_path / "profile"
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        *QUIET,
        f"--user-data-dir={profile}",
    ]
    command += [f"--window-size={width},844", "--virtual-time-budget=2000", "--dump-dom", f"{page.as_uri()}{address}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return HTMLParser(shown)


@needs_chromium
def test_cards_open_with_faults_marked_and_hostile_text_inert(run, tmp_path):
    tree = browse(tmp_path, run / "eval" / "report.html")
    assert len(tree.css("details.card")) == 12
    assert tree.css_first("#count").text() == "12 of 12 cards"
    first = tree.css("details.card")[0]
    assert [panel.attributes["data-system"] for panel in first.css("article.output")] == ["lead", "base", "tuned"]
    base = first.css("article.output")[1]
    marked = {mark.text(): mark.attributes["title"] for mark in base.css("mark")}
    assert marked[UNKNOWN_NUMBER] == f"numbers: number not in the sources: {UNKNOWN_NUMBER}"
    assert any(UNKNOWN_NUMBER in fault.text() for fault in base.css(".faults li"))
    # What is shown is the summary, to the letter, and its markup is text.
    rows = pq.read_table(run / "eval" / "scores.parquet").to_pylist()
    written = next(row["text"] for row in rows if row["system"] == "base")
    assert HOSTILE in written
    assert base.css_first(".text").text() == written
    assert tree.css_first("title").text() == "Summaries of model cards"
    assert not tree.css("img, .text b, pre b")


@needs_chromium
def test_the_address_filters(run, tmp_path):
    cards = list(read_jsonl(run / "data" / "heldout.jsonl", HeldOut))
    tree = browse(tmp_path, run / "eval" / "report.html", f"#show=base&show=tuned&fails=length&differ=1&open={cards[1].id}")
    assert tree.css_first("#count").text() == "4 of 12 cards"
    visible = [card for card in tree.css("details.card") if "hidden" not in card.attributes]
    assert [card.attributes["id"] for card in visible] == [f"card-{cards[number].id}" for number in (1, 4, 7, 10)]
    shown = [panel.attributes["data-system"] for panel in visible[0].css("article.output") if "hidden" not in panel.attributes]
    assert shown == ["base", "tuned"]
    searched = browse(tmp_path, run / "eval" / "report.html", "#q=MARROW&fails=nonsense")
    assert searched.css_first("#count").text() == "4 of 12 cards"
    # Where verdicts of the systems shown agree, nothing is left.
    assert browse(tmp_path, run / "eval" / "report.html", "#show=tuned&differ=1").css_first("#count").text() == "0 of 12 cards"


# A window is never narrower than 500 pixels, a frame is; it opens every card and then says how wide its page is.
FRAME = '<iframe src="copy.html" style="border: 0; width: {width}px; height: 844px"></iframe><script>{script}</script>'
LISTEN = "addEventListener('message', (event) => { document.documentElement.dataset.widths = event.data; });"
MEASURE = """<script>addEventListener("load", () => setTimeout(() => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  const root = document.documentElement;
  setTimeout(() => parent.postMessage(`${root.scrollWidth} ${innerWidth} ${document.querySelectorAll("mark").length}`, "*"), 100);
}, 100));</script></body>"""


@needs_chromium
@pytest.mark.parametrize("width", [390, 1400])
def test_no_page_scrolls_sideways(tmp_path, page, width):
    # A copy without the policy, which would rightly refuse the script that measures.
    copy = re.sub(r"<meta http-equiv[^>]*>", "", page).replace("</body>", MEASURE)
    (tmp_path / "copy.html").write_text(copy, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.format(width=width, script=LISTEN), encoding="utf-8")
    tree = browse(tmp_path, tmp_path / "frame.html", width=width + 100)
    page_width, frame_width, marks = map(int, tree.css_first("html").attributes["data-widths"].split())
    assert (page_width, frame_width) == (width, width)
    assert marks > 12

"""The report of a small run, read as a file and as a browser shows it."""

import base64
import gzip
import json
import re
import shutil
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from chromium import CHROMIUM, chromium
from commands import run_command, run_here
from report_run import make_scored_run, report
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from small_run import HOSTILE, UNKNOWN_NUMBER, make_run
from wandb_records import records

from data_prep.checks.meaning import meanings
from data_prep.core.files import read_dicts, read_jsonl, write_json
from data_prep.core.recipe import load
from data_prep.core.records import HeldOut
from data_prep.core.text import probability, signed
from eval.report import ReportConfig, main
from eval.reporting.explained import checks_table
from eval.reporting.markdown import markdown_results, measure_rows, plain
from eval.reporting.page_data import card_title, headline_decodings, output_body, packed, pieces
from eval.reporting.plots import copying, differences, lengths, range_mark
from eval.stats.figures import rounded

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
        finished = run_here(f"eval.{stage}", "--run_dir", str(run_dir), *arguments)
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


def data_of(page):
    return json.loads(HTMLParser(page).css_first("script#data").text())


def unpacked(text):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_untrusted_text_stays_data(page):
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert unpacked(data_of(page)["bodies"][0])["source"].rstrip().endswith(HOSTILE)


def test_tables_say_what_they_rest_on(page):
    tree = HTMLParser(page)
    text = tree.body.text()
    groups = [heading.text().strip()[:12] for heading in tree.css("#results h3.group")]
    assert groups == ["Checks (also", "Independent "]
    assert "12 held-out cards" in text
    assert "4 families" in text
    row = next(row for row in tree.css("table.results tr") if "no flag: numbers" in row.text())
    assert row.css("td")[1].css_first(".mean").text() == "66.7"
    assert row.css("td")[1].css_first("a").attributes["href"] == "#show=base&fails=numbers"
    assert "n 12" in row.css("td")[1].text()


def test_a_second_run_has_nothing_to_do(run):
    assert "report: done already" in run_here("eval.report", "--run_dir", str(run)).stdout


def test_without_scores_the_next_move_is_named(tmp_path):
    make_run(tmp_path)
    finished = run_here("eval.report", "--run_dir", str(tmp_path))
    assert finished.returncode == 2
    assert "run eval.score first" in finished.stderr


@pytest.mark.parametrize(
    ("change", "content", "message"),
    [
        ("eval/metrics.json", "[]", "metrics.json holds list, expected an object; run eval.score with --run_dir"),
        ("eval/metrics.json", '{"cards": 1}', "metrics.json is not what eval.score wrote; run eval.score again"),
        ("eval/scores.parquet", "no parquet", "scores.parquet is not what eval.score wrote; run eval.score again"),
        ("eval/generations/base.jsonl", "", "generations changed after it was scored; run eval.score again"),
        ("data/heldout.jsonl", "", "heldout.jsonl changed after it was scored; run eval.score again"),
    ],
)
def test_what_was_damaged_or_changed_after_scoring_is_not_published(run, tmp_path, change, content, message):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / change).write_text(content)
    with pytest.raises(ValueError, match=message):
        main(load("report", ReportConfig, ["--run_dir", str(copy)]))


def test_tables_to_paste(run):
    table = (run / "eval" / "results.md").read_text()
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert table == f"{markdown_results(metrics)}\n{checks_table(metrics)}\n"
    assert "| numbers | " in table
    assert "only numbers that stand in the source or follow from it |" in table
    assert "12 held-out cards of 4 families, greedy decoding" in table
    line = next(line for line in table.splitlines() if line.startswith("| base |"))
    assert line.startswith("| base | 0.0 [")
    assert "(n=12)" in line
    assert any(line.startswith("| tuned − base | pages without a flag | +100.0 [") for line in table.splitlines())


def test_what_a_check_remarks_is_marked_after_what_is_flagged_though_it_passes():
    span = {"start": 0, "end": 3, "label": "a count"}
    numbers = {"name": "numbers", "passed": True, "reason": "", "spans": [], "remarks": [span]}
    names = {
        "name": "names",
        "passed": False,
        "reason": "",
        "spans": [{"start": 4, "end": 9, "label": "a name"}],
        "remarks": [],
    }
    row = {"checks": json.dumps([numbers, names]), "spans": "[]", "finish_reason": "stop", "text": "Two Orvans", "thinking": ""}
    body = output_body(row)
    assert [(mark["name"], mark["kind"]) for mark in body["marks"]] == [("names", "check"), ("numbers", "remark")]
    assert body["pieces"][0] == ("Two", [1])


def test_pieces_give_the_text_back_and_nest_spans():
    text = "a 🚀 98.7 and 98.7 again"
    cut = list(pieces(text, [(2, 8), (4, 8), (20, 99)]))
    assert cut == ["a ", ("🚀 ", [0]), ("98.7", [0, 1]), " and 98.7 ag", ("ain", [2])]
    assert list(pieces("", [(0, 5)])) == []
    assert list(pieces("plain", [(2, 2)])) == ["pl", "ain"]


def test_what_is_packed_is_the_same_each_time_and_holds_no_nan():
    texts = {"source": "\U0001f680 é", "outputs": []}
    assert unpacked(packed(texts)) == texts
    assert packed(texts) == packed(texts)
    assert [rounded(value, 4) for value in (None, float("nan"), 0.123456)] == [None, None, 0.1235]


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


def test_a_plain_text_has_no_markup_and_one_line():
    assert plain("a\n<script>|") == "a &lt;script>|"


# An invented run: sampled headline, judge, checkers, slices and probes ----------------------------------------------------


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    """A run of three systems with two seeds, in the form of eval.score, and its report; no test changes it."""
    run_dir = tmp_path_factory.mktemp("invented")
    metrics = make_scored_run(run_dir, samples=2)
    path = report(run_dir)
    page = path.read_text(encoding="utf-8")
    return SimpleNamespace(run=run_dir, metrics=metrics, page=page, tree=HTMLParser(page), path=path)


def test_everything_scored_has_its_place(invented):
    tree = invented.tree
    assert [section.attributes["id"] for section in tree.css("main > section")] == [
        "claims", "results", "measures", "differences", "lengths", "copying", "slices", "probes", "worst", "cards"
    ]  # fmt: skip
    assert invented.metrics["claims"][0] in tree.css_first("#claims").text()
    assert "no difference shown" in tree.css_first("#claims").text() or "falls in" in tree.css_first("#claims").text()
    assert "Greedy decoding" in tree.css_first("#results details").text()
    assert "seed SD 1.2" in tree.css_first("#results table").text()
    assert "seed SD" not in tree.css_first("#results details").text()
    assert len(tree.css("#copying svg.scatter")) == len(tree.css("#lengths svg")) == 3
    assert "follows the changed source" in tree.css_first("#probes").text()
    assert "same verdict in both orders 83.0%" in tree.css_first("#measures").text()
    assert [heading.text() for heading in tree.css("#differences h3.group")] == [
        "Checks (also used to select training data)",
        "Independent",
    ]


def test_a_measure_that_is_not_printed_gives_its_reason_and_no_figure(invented):
    reason = "found 6 of 10 planted faults, 9 are needed"
    shown = [note.text() for note in invented.tree.css(".warning") if reason in note.text()]
    assert len(shown) == 2  # beside the independent metrics and in its own part
    assert reason in (invented.run / "eval" / "results.md").read_text()


def test_preferences_and_what_each_check_looks_for_are_the_last_tables_to_paste(invented):
    lines = (invented.run / "eval" / "results.md").read_text().splitlines()
    tables = [line for before, line in zip([""] + lines, lines, strict=False) if line.startswith("|") and not before]
    assert [table.split("|")[1].strip() for table in tables] == ["system", "difference", "system", "preferred", "check"]
    assert "| aligned | base | judge-70b | 67.0 [40.0, 88.0] | 0.210 | 12 | 83.0 |" in lines


def test_the_forest_marks_what_would_be_missed_and_what_is_decided(invented):
    plots = differences(invented.metrics)
    assert list(plots) == ["checks", "independent"]
    rows = [row for panels in plots.values() for panel in panels.values() for row in panel["lines"]]
    axes = {pair: {panels[pair]["axis"] for panels in plots.values()} for pair in plots["checks"]}
    assert all(len(axis) == 1 and axis <= {0.1, 0.25, 0.5, 1.0} for axis in axes.values())
    for row in rows:
        assert row["decided"] == (row["ci95"][0] > 0 or row["ci95"][1] < 0)
        assert 'class="blind"' in row["mark"]
    assert sum(row["decided"] for row in rows) == len(invented.tree.css("#differences .difference.clear"))
    assert {row["label"] for row in rows} == {"pages without a flag", "key facts the page has", *(
        "words in copied runs (coverage)", "claims supported, by a checker")}  # fmt: skip
    mark = range_mark(0.5, [0.25, 0.75], -1.0, 1.0, 0.1, 0.0)
    assert 'class="blind" x="45.00%" width="10.00%"' in mark
    assert 'class="interval" x1="62.50%" x2="87.50%"' in mark


def test_a_baseline_without_samples_stands_with_its_one_text():
    rows = [{"system": "lead", "decoding": "greedy"}, {"system": "sft", "decoding": "greedy"}, {"system": "sft", "decoding": "sampled"},
            {"system": "base", "decoding": "greedy"}]  # fmt: skip
    systems = {"lead": {"x": {"mean": 0.5}}, "sft": {"x": {"mean": 0.5}}, "base": {"x": {"mean": None}}}
    assert headline_decodings({"decoding": "sampled", "systems": systems}, rows) == {
        "lead": "greedy",
        "sft": "sampled",
        "base": "sampled",
    }


def test_copying_needs_both_measures(invented):
    rows = pq.read_table(invented.run / "eval" / "scores.parquet").to_pylist()
    assert copying({**invented.metrics, "metrics": invented.metrics["metrics"][:3]}, rows) is None
    plots = copying(
        invented.metrics, [{**rows[0], "coverage": 0.5, "density": 10.0}, {**rows[1], "coverage": 1.0, "density": 100.0}]
    )
    assert (plots["low"], plots["high"]) == (10, 100)
    assert 'd="M100.0 130.0h0' in plots["plots"][rows[0]["system"]]


def test_figures_of_a_measure_are_shown_whatever_they_are():
    figures = {
        "claims": 12,
        "support": {
            "mean": 0.5,
            "ci95": [0.4, 0.6],
            "n": 9,
            "families": 3,
            "corrected": {"mean": 0.45, "ci95": None},
            "unread": 1,
        },
    }
    assert list(measure_rows(figures)) == [
        ("claims", "12", "", ""),
        ("support", "50.0%", "40.0 to 60.0", "9"),
        ("support, corrected", "45.0%", "–", ""),
        ("support, unread", "1", "", ""),
    ]


def test_a_system_that_was_not_scored_is_refused_by_its_nearest_name(invented):
    with pytest.raises(ValueError, match=r'report\.system names "alined", which was not scored. Did you mean "aligned"\?'):
        report(invented.run, "--report.system", "alined")


def test_runs_on_invented_and_on_real_cards_stand_apart_each_with_its_own_tables(tmp_path):
    here, real, unknown = (tmp_path / name for name in ("here", "real", "unknown"))
    for folder, source, cards in ((here, "synthetic", 12), (real, "references", 7), (unknown, None, 5)):
        make_scored_run(folder, cards=cards)
        if source:
            write_json(folder / "data" / "collect.manifest.json", {"recipe": {"collect": {"source": source}}})
    beside = ("--report.beside", json.dumps({HOSTILE: str(real), "copied": str(unknown)}, ensure_ascii=False))
    kinds = HTMLParser(report(here, *beside).read_text()).css_first("#kinds")
    assert [heading.text() for heading in kinds.css("h3")] == ["cards of unknown origin", "invented cards", "real cards"]
    heads = [heading.text() for heading in kinds.css("h4")]
    assert [head.partition(" cards of ")[0] for head in heads] == ["copied 5", "here (this run) 12", f"{HOSTILE} 7"]
    assert ["n 7" in table.text() for table in kinds.css("table")] == [False, False, True]
    assert len(kinds.css("table")[0].css("tbody tr")) == 3  # the declared metrics
    written = (here / "eval" / "report.html").stat().st_mtime_ns
    make_scored_run(real, cards=8)
    report(here, *beside)
    assert (here / "eval" / "report.html").stat().st_mtime_ns > written  # another run's new figures make it another page
    assert HTMLParser(report(here).read_text()).css_first("#kinds") is None
    (real / "eval" / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match=r"metrics\.json is not what eval\.score wrote"):
        report(here, *beside)


HOSTILE_NAME = '"><img src=x onerror=document.title="owned">'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The invented run with markup wherever a person or a model can put text."""
    run_dir = tmp_path_factory.mktemp("hostile")
    metrics = make_scored_run(run_dir, systems=("base", HOSTILE_NAME), samples=2)
    for metric in metrics["metrics"]:
        metric["label"] += HOSTILE
    metrics["claims"].append(HOSTILE)
    metrics["slices"] = {HOSTILE: {HOSTILE_NAME: next(iter(metrics["slices"]["length"].values()))}}
    metrics["probes"] = {HOSTILE: next(iter(metrics["probes"].values()))}
    metrics["measures"]["entailment"]["reason"] = HOSTILE
    metrics["measures"][HOSTILE_NAME] = {**metrics["measures"]["support"], "notes": [HOSTILE]}
    metrics["measures"]["judge"]["preferences"][0]["judge"] = HOSTILE
    metrics["systems"]["base"]["all_pass"]["note"] = HOSTILE
    metrics["versions"][HOSTILE] = HOSTILE
    write_json(run_dir / "eval" / "metrics.json", metrics)
    table = pq.read_table(run_dir / "eval" / "scores.parquet")
    rows = table.to_pylist()
    for row in rows:
        row["family"] = row["thinking"] = HOSTILE
        row["text"] = HOSTILE + row["text"]
        row["slices"] = json.dumps({HOSTILE: HOSTILE_NAME})
        row["spans"] = json.dumps([{"start": 0, "end": 20, "label": HOSTILE, "measure": HOSTILE_NAME}])
        checks = json.loads(row["checks"])
        row["checks"] = json.dumps([{**check, "passed": False, "reason": HOSTILE, "name": HOSTILE_NAME} for check in checks])
    pq.write_table(type(table).from_pylist(rows, table.schema), run_dir / "eval" / "scores.parquet")
    held = [{**card, "id": HOSTILE + str(number)} for number, card in enumerate(read_dicts(run_dir / "data" / "heldout.jsonl"))]
    ids = {card["id"]: new["id"] for card, new in zip(read_dicts(run_dir / "data" / "heldout.jsonl"), held, strict=True)}
    pq.write_table(
        type(table).from_pylist([{**row, "id": ids[row["id"]]} for row in rows], table.schema),
        run_dir / "eval" / "scores.parquet",
    )
    held = [{**card, "source": HOSTILE, "reference": HOSTILE, "family": HOSTILE} for card in held]
    (run_dir / "data" / "heldout.jsonl").write_text("".join(json.dumps(card) + "\n" for card in held))
    return report(run_dir, "--report.title", HOSTILE)


def test_hostile_names_labels_and_reasons_are_text(hostile):
    page = hostile.read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 2
    tree = HTMLParser(page)
    assert tree.css_first("h1").text() == HOSTILE
    assert not tree.css("[onerror]")
    assert all(link.attributes["href"].startswith("#") for link in tree.css("a"))
    assert "<img" not in (hostile.parent / "results.md").read_text()


# In a browser ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        page.size(1400)
        yield page


def shown(browser):
    """The page's tree as its script left it."""
    return HTMLParser(browser.run("document.documentElement.outerHTML"))


def count(browser, total):
    return browser.wait(f"document.getElementById('count').textContent.endsWith('of {total} cards') && "
                        "document.getElementById('count').textContent")  # fmt: skip


def visible_cards(browser):
    return browser.run("[...document.querySelectorAll('details.card:not([hidden]) .name')].map((name) => name.textContent)")


@needs_chromium
def test_cards_open_with_faults_marked_and_hostile_text_inert(run, browser):
    browser.open(run / "eval" / "report.html")
    tree = shown(browser)
    assert len(tree.css("details.card")) == 12
    assert tree.css_first("#count").text() == "12 of 12 cards"
    first = tree.css("details.card")[0]
    assert [panel.attributes["data-system"] for panel in first.css("article.output")] == ["lead", "base", "tuned"]
    base = first.css("article.output")[1]
    marked = {mark.text(): mark.attributes["data-why"] for mark in base.css("mark")}
    assert f"numbers: number not in the sources: {UNKNOWN_NUMBER}" in marked[UNKNOWN_NUMBER]
    assert any(UNKNOWN_NUMBER in fault.text() for fault in base.css(".faults li"))
    # What is shown is the summary, to the letter, and its markup is text.
    rows = pq.read_table(run / "eval" / "scores.parquet").to_pylist()
    written = next(row["text"] for row in rows if row["system"] == "base")
    assert HOSTILE in written
    assert base.css_first(".text").text() == written
    assert tree.css_first("title").text() == "Summaries of model cards"
    assert not tree.css("img, .text b, pre b")


@needs_chromium
def test_the_address_filters(run, browser):
    path = run / "eval" / "report.html"
    cards = list(read_jsonl(run / "data" / "heldout.jsonl", HeldOut))
    browser.open(path, f"#show=base&show=tuned&fails=length&differ=1&open={cards[1].id}")
    tree = shown(browser)
    assert tree.css_first("#count").text() == "4 of 12 cards"
    visible = [card for card in tree.css("details.card") if "hidden" not in card.attributes]
    assert [card.attributes["id"] for card in visible] == [f"card-{cards[number].id}" for number in (1, 4, 7, 10)]
    columns = [column.attributes["data-system"] for column in visible[0].css(".column") if "hidden" not in column.attributes]
    assert columns == ["base", "tuned"]
    browser.open(path, "#q=MARROW&fails=nonsense&sort=nonsense&of=nobody&sample=x&by=y")
    assert count(browser, 12) == "4 of 12 cards"
    # Where verdicts of the systems shown agree, nothing is left.
    browser.open(path, "#show=tuned&differ=1")
    assert count(browser, 12) == "0 of 12 cards"


@needs_chromium
def test_family_slice_sample_and_text_narrow_the_list(invented, browser):
    rows = pq.read_table(invented.run / "eval" / "scores.parquet").to_pylist()
    words = "+".join(rows[0]["text"].split()[3:9])
    for address, wanted in (
        ("#family=family1", lambda row: row["family"] == "family1"),
        ("#slice=length%3A+long", lambda row: json.loads(row["slices"])["length"] == "long"),
        ("#show=sft&sample=greedy&fails=any", lambda row: (row["system"], row["decoding"], row["all_pass"]) == ("sft", "greedy", 0.0)),
        (f"#q={words}", lambda row: row["id"] == rows[0]["id"]),
    ):  # fmt: skip
        browser.open(invented.path, address)
        assert count(browser, 12) == f"{len({row['id'] for row in rows if wanted(row)})} of 12 cards"


@needs_chromium
def test_cards_sort_by_a_metric_and_by_the_difference_of_two_systems(invented, browser):
    rows = pq.read_table(invented.run / "eval" / "scores.parquet").to_pylist()
    values = {}
    for row in rows:
        if row["decoding"] == "sampled":
            values.setdefault((row["id"], row["system"]), []).append(row["fact_recall"])
    means = {key: sum(found) / len(found) for key, found in values.items()}
    cards = list(read_jsonl(invented.run / "data" / "heldout.jsonl", HeldOut))
    names = {card.id: card_title(card) for card in cards}
    browser.open(invented.path, "#show=base&show=aligned&sort=fact_recall&by=loss")
    fall = sorted(names, key=lambda card: means[card, "aligned"] - means[card, "base"])
    assert visible_cards(browser) == [names[card] for card in fall]
    # With one system shown there is no difference: plain order takes its place, and the address says so when used.
    browser.open(invented.path, "#show=aligned&sort=fact_recall&by=loss")
    assert browser.run("document.getElementById('by').value") == "up"
    assert visible_cards(browser) == [names[card] for card in sorted(names, key=lambda card: means[card, "aligned"])]
    browser.open(invented.path, "#sample=greedy&sort=source_words&by=down")
    assert visible_cards(browser)[0] == names[max(cards, key=lambda card: len(card.source.split())).id]


@needs_chromium
def test_the_worst_list_leads_to_the_card(invented, browser):
    browser.open(invented.path, "#of=sft&worst=fact_recall")
    first = browser.run("document.querySelector('#worst-list li').innerText")
    rows = [row for row in pq.read_table(invented.run / "eval" / "scores.parquet").to_pylist() if row["decoding"] == "sampled"]
    own = {}
    for row in rows:
        if row["system"] == "sft":
            own.setdefault(row["id"], []).append(row["fact_recall"])
    worst = min(own, key=lambda card: sum(own[card]) / len(own[card]))
    assert first.startswith(f"{100 * sum(own[worst]) / len(own[worst]):.1f}")
    browser.run("document.querySelector('#worst-list a').click()")
    browser.wait(f"document.getElementById('card-{worst}').querySelector('article') !== null")
    assert browser.run("[...document.querySelectorAll('#systems input:checked')].length") == 1
    assert browser.run("document.getElementById('worst-by').value") == "fact_recall"


@needs_chromium
def test_two_systems_stand_side_by_side_with_source_and_reference(invented, browser):
    browser.open(invented.path)
    choose = """(() => { const pair = document.getElementById('pair'); pair.value = '["base","sft"]';
      pair.dispatchEvent(new Event('input')); })()"""
    browser.run(choose)
    boxes = """[...document.querySelectorAll('details.card[open] .source pre, details.card[open] .column:not([hidden])')]
      .map((part) => [part.getBoundingClientRect().left, part.getBoundingClientRect().top])"""
    source, reference, base, sft = browser.run(boxes)
    assert source[0] == reference[0] < base[0] < sft[0]
    assert base[1] == sft[1]
    address = browser.run("location.hash")
    assert "show=base&show=sft" in address
    # The view is the address: opened afresh it is the same.
    card = browser.run("document.querySelector('details.card[open]').id")
    browser.open(invented.path, address)
    assert browser.run("document.querySelector('details.card[open]').id") == card
    assert browser.run("[...document.querySelectorAll('details.card[open] .column:not([hidden])')].length") == 2


@needs_chromium
def test_reasons_come_by_hover_and_by_keyboard_and_go_with_escape(invented, browser):
    browser.open(invented.path)
    kinds = browser.run("[...new Set([...document.querySelectorAll('.text mark')].map((mark) => mark.className))].sort()")
    assert kinds == ["check", "measure"]
    visible = "document.querySelector('article:not([hidden]) .text mark')"
    browser.run(f"scrollTo(0, 0); {visible}.focus()")
    browser.run("new Promise(requestAnimationFrame)")  # focus scrolled there, and the reason is still to be seen
    tip = "document.getElementById('tip')"
    assert browser.run(f"{tip}.hidden") is False
    assert browser.run(f"{tip}.textContent") == "support: no part of the source supports this"
    assert browser.run("document.activeElement.getAttribute('aria-describedby')") == "tip"
    browser.press("Escape")
    assert browser.run(f"{tip}.hidden") is True
    place = f"(({{left, top}}) => [left + 4, top + 8])({visible}.getClientRects()[0])"
    x, y = browser.run(place)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert browser.wait(f"!{tip}.hidden") is True
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert browser.wait(f"{tip}.hidden") is True


@needs_chromium
def test_keys_go_from_card_to_card(invented, browser):
    browser.open(invented.path)
    names = visible_cards(browser)
    focused = "document.activeElement.querySelector?.('.name')?.textContent"
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        browser.press(key)
        assert browser.run(focused) == names[place]
    browser.press("Enter")
    browser.wait("document.activeElement.parentNode.querySelector('article') !== null")
    browser.press("/")
    assert browser.run("document.activeElement.id") == "query"
    browser.press("j")
    assert browser.run("document.activeElement.value") == "j"


@needs_chromium
def test_hostile_text_stays_text_in_the_browser(hostile, browser):
    browser.open(hostile)
    browser.run("document.querySelector('article:not([hidden]) .text mark').focus()")
    assert browser.run("document.title") == HOSTILE
    assert browser.run("document.querySelectorAll('img, .text b, [onerror]').length") == 0
    assert browser.run("document.querySelectorAll('article').length") > 0
    assert HOSTILE in browser.run("document.getElementById('tip').textContent")


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_scrolls_sideways(run, invented, hostile, browser, width):
    browser.size(width)
    for path in (run / "eval" / "report.html", invented.path, hostile):
        browser.open(path)
        browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
        browser.wait("[...document.querySelectorAll('details.card')].every((card) => card.querySelector('article'))")
        assert browser.run("document.documentElement.scrollWidth") == width
    browser.size(1400)


# Weights & Biases ------------------------------------------------------------------------------------------------------


def test_wandb_gets_rows_figures_and_files(tmp_path):
    run_dir = tmp_path / "run"
    metrics = make_scored_run(run_dir, samples=2)
    command = ("-m", "eval.report", "--run_dir", str(run_dir), "--report.report_to", "wandb")
    done = run_command(*command, WANDB_MODE="offline", HF_TOKEN="hf_" + "w" * 30)
    assert done.returncode == 0, done.stderr
    found = list(records(run_dir))
    begun = [record.run for record in found if record.HasField("run")]
    names = {(one.run_group, one.job_type, one.display_name, one.project) for one in begun}
    assert names == {("run", "report", "run-report", "card-summarizer")}
    assert {one.notes for one in begun} == {"\n\n".join(meanings(metrics["metrics"]))}
    summary = {}
    for record in found:
        for item in record.summary.update:
            summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    cell = metrics["systems"]["sft"]["all_pass"]
    assert [summary[f"sft/all_pass/{part}"] for part in ("mean", "low", "high", "n")] == [
        cell["mean"],
        *cell["ci95"],
        cell["n"],
    ]
    artifacts = {one.artifact.name: one.artifact for one in found if one.HasField("artifact")}
    files = {entry.path for entry in artifacts["run-report"].manifest.contents}
    assert files == {"report.html", "results.md", "metrics.json"}
    (table,) = run_dir.glob("wandb/offline-run-*/files/media/table/*.table.json")
    read = json.loads(table.read_text())
    assert read["columns"] == [
        "id", "family", "system", "decoding", "sample", "all_pass", "fact_recall", "supported", "failed", "text"
    ]  # fmt: skip
    rows = pq.read_table(run_dir / "eval" / "scores.parquet").to_pylist()
    assert len(read["data"]) == len(rows) == 12 * 3 * 3
    assert read["data"][0][-1] == rows[0]["text"]
    everything = b"".join(path.read_bytes() for path in (run_dir / "wandb").rglob("*") if path.is_file())
    assert ("w" * 30).encode() not in everything


def test_wandb_without_a_login_is_refused_before_anything_is_written(tmp_path):
    make_scored_run(tmp_path / "run")
    command = ("-m", "eval.report", "--run_dir", str(tmp_path / "run"), "--report.report_to", "wandb")
    done = run_command(*command, WANDB_MODE="online", WANDB_API_KEY="", HOME=str(tmp_path), NETRC=str(tmp_path / "none"))
    assert done.returncode == 2, done.stdout
    assert "set WANDB_MODE=offline" in done.stderr
    assert not (tmp_path / "run" / "eval" / "report.html").exists()

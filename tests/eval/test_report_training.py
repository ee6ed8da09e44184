"""The page of curves, from files as training leaves them. Those of a real run that is killed: tests/training/test_resume.py."""

import re
from xml.etree import ElementTree

import pytest
from chromium import CHROMIUM, chromium
from report_run import make_scored_run, report
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from data_prep.core.files import write_json
from data_prep.core.recipe import load
from eval.report import ReportConfig, main
from eval.reporting.picture import picture
from eval.reporting.plots import curve_plot, short
from eval.reporting.training_log import Curve, trainings

HOSTILE = '<img src=x onerror=alert(1)>"'


def line(step, **values):
    return {
        "step": step,
        "loss": 1 / step,
        "learning_rate": 1e-5 * step,
        "grad_norm": 0.5,
        "speed/tokens_per_second": 2000.0,
    } | values


def begun(folder, recipe, *inputs):
    write_json(folder / "started.manifest.json", {"recipe": recipe, "inputs": dict.fromkeys(inputs)})


def ended(folder, stage, history, recipe=None, rows=40):
    result = {"rows": rows, "steps": history[-1]["step"], "history": history}
    write_json(folder / f"{stage}.manifest.json", {"recipe": recipe or {}, "inputs": {}, "result": result})


def state(folder, history, steps):
    write_json(folder / "trainer_state.json", {"log_history": history, "global_step": history[-1]["step"], "max_steps": steps})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished SFT, GRPO at work, a finished round on own best samples and a round on pairs that has logged nothing."""
    run_dir = tmp_path_factory.mktemp("run")
    validated = [{"step": 4, "eval_loss": 0.3, "eval_runtime": 9.0}, {"step": 4, "eval_loss": 0.25}]
    ended(run_dir / "sft", "sft", [line(2), line(4), *validated])
    parts = {"parts/facts": 0.75, f"parts/{HOSTILE}": 1.0, "reward": 0.5, "kl": float("nan")}
    state(run_dir / "aligned", [line(1, **parts), line(2, **parts), {"step": 2, "train_runtime": 5.0}], 12_000)
    begun(run_dir / "aligned", {}, "sampling.jsonl", "split.json", "sft-merged")
    best = [line(3, **{"rewards/margins": 0.1, "rewards/accuracies": 1.0})]
    ended(run_dir / "round-2" / "aligned", "align", best, {"rejection_sampling": True}, rows=1)
    begun(run_dir / "round-10" / "aligned", {"loss_type": HOSTILE}, "train.parquet")
    return run_dir


@pytest.fixture(scope="module")
def page(run):
    main(load("report", ReportConfig, ["--run_dir", str(run), "--report.title", HOSTILE]))
    return (run / "eval" / "training.html").read_text(encoding="utf-8")


def test_every_training_of_the_run_says_how_far_it_is(run):
    assert [(one.place, one.method, one.told) for one in trainings(run)] == [
        ("sft", "SFT", "Finished after 4 steps on 40 rows."),
        ("aligned", "GRPO", "Not finished: the log ends at step 2 of 12,000. Run eval.report again to see what came since."),
        ("round-2/aligned", "SFT on its own best samples", "Finished after 3 steps on 1 row."),
        ("round-10/aligned", f"on pairs, loss {HOSTILE}", "Begun, and nothing is logged yet."),
    ]


def test_what_is_logged_is_drawn_once_a_step_and_what_is_no_number_is_not(run):
    sft, grpo, best, empty = trainings(run)
    assert sft.curves[0] == Curve("loss", {"train": [(2, 0.5), (4, 0.25)], "validation": [(4, 0.25)]})
    assert [curve.label for curve in sft.curves] == ["loss", "learning rate", "gradient norm", "tokens a second"]
    assert [curve.label for curve in grpo.curves][:2] == ["loss", "reward"]
    assert "KL from the SFT model" not in [curve.label for curve in grpo.curves]
    assert [curve.label for curve in grpo.parts] == [HOSTILE, "facts"]
    assert [curve.label for curve in best.curves][1:3] == ["reward margin", "pairs with chosen ahead"]
    assert empty.curves == []


def test_a_run_that_is_still_training_has_its_curves_and_no_report(page, run, capsys):
    assert not (run / "eval" / "report.html").exists()
    assert "report.html" not in page
    main(load("report", ReportConfig, ["--run_dir", str(run)]))
    curves, missing = capsys.readouterr().out.splitlines()
    assert curves == f"report: curves of training in {run / 'eval' / 'training.html'}"
    assert "no report yet" in missing
    assert "run eval.score" in missing


def test_losses_and_rewards_are_a_picture_for_a_card_too(page, run):
    svg = (run / "eval" / "curves.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(svg)  # XML as a viewer reads it, whatever was logged
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    titles = [text for text in texts if ": " in text]
    assert titles == [
        "SFT: loss", "blue: training rows, orange: validation rows", "GRPO: loss", "GRPO: reward", "SFT on its own best samples: loss",
        "SFT on its own best samples: reward margin",
    ]  # fmt: skip
    assert "4 steps" in texts
    assert "0.25" in texts
    assert picture([]) == ""


def test_the_page_runs_nothing_loads_nothing_and_holds_every_figure_in_a_table(page):
    tree = HTMLParser(page)
    policy = tree.css_first('meta[http-equiv="Content-Security-Policy"]').attributes["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert not tree.css("script, link, img, iframe, [src], [onerror]")
    assert "url(" not in tree.css_first("style").text()
    assert tree.css_first("title").text() == f"Training: {HOSTILE}"
    rows = [[cell.text() for cell in row.css("th, td")] for row in tree.css_first("section details").css("tr")]
    assert rows == [
        ["step", "loss", "loss, validation", "learning rate", "gradient norm", "tokens a second"],
        ["2", "0.5", "", "2e−05", "0.5", "2,000"],
        ["4", "0.25", "0.25", "4e−05", "0.5", "2,000"],
    ]
    sections = [section.attributes["id"] for section in tree.css("section")]
    assert [link.attributes["href"] for link in tree.css("nav a")] == [f"#{name}" for name in sections]
    assert len(tree.css("section details")) == 3  # nothing is logged, nothing to open


def test_a_curve_stands_where_its_steps_and_values_are_and_says_its_ends():
    plot = curve_plot(Curve("loss", {"train": [(0, 3.0), (10, 1.0)], "validation": [(5, 2.0)]}), 20)
    assert (plot["low"], plot["high"], plot["steps"]) == (1.0, 3.0, 20)
    assert 'd="M0.00 4.00L50.00 96.00"' in plot["svg"]
    assert 'class="c1" d="M25.00 50.00"' in plot["svg"]
    assert (
        'aria-label="loss: train from 3 at step 0 to 1 at step 10; validation from 2 at step 5 to 2 at step 5"' in plot["svg"]
    )
    long = curve_plot(Curve("loss", {"train": [(step, 1.0) for step in range(100)]}), 0)
    assert long["svg"].count("<path") == 1
    assert re.search(r'd="M0.00 50.00L1.01 50.00', long["svg"])
    assert [short(value) for value in (12345.6, -0.00012, 0.0)] == ["12,346", "−0.00012", "0"]


def test_a_run_of_before_logs_were_kept_has_that_of_its_newest_whole_checkpoint(tmp_path):
    for number in (2, 8, 10, 12):
        state(tmp_path / "sft" / f"checkpoint-{number}", [line(step) for step in range(1, number + 1)], 20)
    (tmp_path / "sft" / "checkpoint-12" / "trainer_state.json").write_text('{"log_history": [')
    sft, aligned = trainings(tmp_path)
    assert sft.told.startswith("Not finished: the log ends at step 10 of 20.")
    assert (aligned.method, aligned.told) == ("alignment", f"Nothing is trained in {tmp_path / 'aligned'}.")


def test_report_and_curves_lead_to_each_other(tmp_path):
    make_scored_run(tmp_path)
    written = report(tmp_path)
    assert "training.html" not in written.read_text()
    assert not (tmp_path / "eval" / "training.html").exists()
    ended(tmp_path / "sft", "sft", [line(1)])
    written.unlink()
    assert 'href="training.html"' in report(tmp_path).read_text()
    assert 'href="report.html"' in (tmp_path / "eval" / "training.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")
def test_it_fits_wide_and_narrow_screens_and_opens_by_keyboard(page, run, tmp_path):
    with chromium(tmp_path / "profile") as browser:
        for width in (390, 1280):
            browser.size(width, dark=width == 390)
            browser.send("Page.navigate", url=(run / "eval" / "training.html").as_uri())
            browser.wait("document.readyState === 'complete' && document.querySelectorAll('svg.curve').length > 10")
            browser.run("document.querySelector('summary').focus()")
            browser.press("Enter")
            assert browser.wait("document.querySelector('details').open")
            browser.run("for (const part of document.querySelectorAll('details')) part.open = true")
            assert browser.run("document.documentElement.scrollWidth") == width

"""The main text of a page, whatever its kind, and a reason where there is none."""

import io

import pypdf
import pytest

from data_prep.pages.extract import extract

WORDS = "The model was trained on letters that nobody had read before. " * 8
HTML = f"<html><body><nav>Home About</nav><article><h1>Brindle</h1><p>{WORDS}</p><table><tr><th>Test</th><th>Score</th></tr><tr><td>MMLU</td><td>61.2</td></tr></table></article></body></html>"


def pdf(text):
    """A PDF of one page that shows `text`, written by hand: pypdf does not draw."""
    stream = f"BT /F1 12 Tf 10 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, offsets = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, content in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj%s\nendobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "extractor", "expected"),
    [
        (HTML.encode(), "text/html; charset=utf-8", "trafilatura", "| MMLU | 61.2 |"),
        (HTML.encode(), "application/octet-stream", "trafilatura", "letters that nobody"),
        (pdf(WORDS), "application/pdf", "pypdf", "letters that nobody"),
        (f"---\na: b\n---\n# T\n\n{WORDS}".encode(), "text/markdown", "text", "# T"),
        (b'{"words": "' + WORDS.encode() + b'"}', "application/json", "json", "letters that nobody"),
    ],
)
def test_each_kind_of_page_gives_its_text_and_says_what_took_it_out(content, kind, extractor, expected):
    found = extract(content, kind, "https://o.example/p")
    assert found.problem == ""
    assert expected in found.text
    assert found.extractor.startswith(extractor)
    assert "Home About" not in found.text
    assert "a: b" not in found.text


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        (b"%PDF-1.7 junk", "application/pdf", "cannot be read"),
        (b"{not json", "application/json", "cannot be read"),
        (b"short", "text/plain", "fewer than"),
        (b"<html><body></body></html>", "text/html", "fewer than"),
        (b"\xff\xfe\x00", "text/html", "fewer than"),
        (b"<html>" + b"<div>" * 20_000, "text/html", "fewer than"),
    ],
)
def test_a_page_without_text_says_so(content, kind, problem):
    found = extract(content, kind, "https://o.example/p")
    assert problem in found.problem
    assert found.text == ""


def test_an_encrypted_pdf_says_so():
    writer = pypdf.PdfWriter()
    writer.append(io.BytesIO(pdf(WORDS)))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    assert "cannot be read" in extract(out.getvalue(), "application/pdf", "u").problem

"""How addresses are read in a source and in a summary: the same page in other letters passes, a page beside it does not."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest

from data_prep.cards.links import extract_links
from data_prep.checks.document import read
from data_prep.checks.links import canonical, check_links, has_links_to_cite, links_of


def offered(source):
    text = f"# Orvan\n\n{source}\n\nModel: zelkis/Orvan"
    known = links_of(text)
    return known, has_links_to_cite(text, known)


def links_pass(said, source):
    """Whether `said`, a link in Markdown or a bare address, is one that `source` holds."""
    return check_links(read(f"## Orvan\n\n- See {said}\n"), *offered(source)).passed


def links_pass_to(url, source):
    return links_pass(f"[this]({url}).", source)


KILN = "https://github.com/zelkis/kiln"


@pytest.mark.parametrize(
    "after",
    list("，。、；：！？）】」』》”’…—～｜·　") + ["에서", "を参照", "欢迎", "ได้", "“x”", "'s ", "!", ").", "**"],
)
def test_links_end_where_the_sentence_goes_on_in_another_script(after):
    source = f"代码见{KILN}{after}欢迎{KILN}-data。"
    assert links_pass_to(KILN, source)
    assert links_pass_to(f"{KILN}-data", source)
    assert links_pass(f"{KILN}{after}", source)
    assert not links_pass_to(f"{KILN}-{after.strip()}", source)
    assert not links_pass_to(f"{KILN}欢迎", source)
    assert extract_links(source)[0] == KILN
    assert len(extract_links(source)) == 2


@pytest.mark.parametrize(
    "path",
    [
        "知识蒸馏", "증류", "けいおん！", "東京_(曖昧さ回避)", "（仮）", "Künstliche_Intelligenz", "Ёж", "हिन्दी_भाषा", "Zipf's_law", "Hooray!", "Players'",
        "Leibler–Kull", "my file", "my_file", "_x_", "x_", "C++", "a[1].html", "?q[]=1&b=ü", "a|b", 'a"b', "a^b", "{x}", "100%", "f_(g_(h))", "a*b*c", "a(b",
    ],
)  # fmt: skip
def test_links_copied_letter_by_letter_are_the_sources_own(path):
    """Encoded or not, in a link of any kind, with Markdown's escapes."""
    url = f"https://ex.example/wiki/{path}"
    encoded = quote(url, safe=":/?=&")
    escaped = re.sub(r"([_|!'*(])", r"\\\1", url)
    spelt = [f"[x](<{url}>)", f"[x](<{escaped}>)", f"[x]({encoded})", f"[x][r]\n\n[r]: <{url}>"]
    spelt += [] if " " in url else [f"[x]({escaped if path == 'a(b' else url})"]
    for source in [*spelt, f'<a href="{url.replace(chr(34), "&quot;")}">x</a>']:
        for said in spelt:
            assert links_pass(said, source), (said, source)
        assert not links_pass_to(f"{encoded}-2", source)
        assert not links_pass_to(encoded.replace("ex.example", "ey.example"), source)


@pytest.mark.parametrize(
    "path",
    ["知识蒸馏", "Künstliche_Intelligenz", "Zipf's_law", "Hooray!", "Players'", "my\\_file", "Leibler–Kull", "a;b=c", "~x/"],
)
def test_links_that_stand_bare_may_be_written_as_links(path):
    url = f"https://ex.example/wiki/{path}"
    for said in (f"[x]({url})", f"[x]({quote(url.replace(chr(92), ''), safe=':/')})", f"{url} now"):
        assert links_pass(said, f"See {url} for more."), said
    assert links_pass(f"{url} now", f"[x]({quote(url.replace(chr(92), ''), safe=':/')})")
    assert not links_pass_to(f"{url}s", f"See {url} for more.")


SICI = "10.1000/(SICI)1000-4571(199805)49:8<693::AID-XYZ4>3.0.CO;2-O"


@pytest.mark.parametrize(
    "source", ["[p](<{url}>)", "[p]({url})", "<{url}>", "{url}", "doi:{doi}", "doi = {{{doi}}},", '<a href="{url}">p</a>']
)
def test_links_to_an_old_doi_with_angle_brackets(source):
    url = f"https://doi.org/{SICI}"
    source = source.format(url=url, doi=SICI)
    for said in (f"[p]({url})", f"[p]({quote(url, safe=':/;')})", f"[p](<{url}>)", f"<{url}>", url):
        assert links_pass(said, source), said
        assert not links_pass(said.replace("693", "694"), source), said


@pytest.mark.parametrize("number", ["2507.01234", "0704.0001v2", "hep-th/9901001v2", "cs/0112017", "cs.CL/0112017v1"])
@pytest.mark.parametrize(
    "source",
    [
        "arXiv:{}", "[arXiv: {}]", "见arXiv：{}。", "arXiv {}", "eprint={{{}}}, archivePrefix={{arXiv}}", 'eprint = "{}",', "eprint = {{arXiv:{}}}",
        "volume = {{abs/{}}},", "doi = {{10.48550/arXiv.{}}}", "10.48550/arXiv.{}", "arxiv.org/abs/{}", "https://arxiv.org/pdf/{}.pdf",
    ],
)  # fmt: skip
def test_links_to_papers_that_the_source_names_by_number(source, number):
    bare = number.partition("v")[0]
    for page in (f"https://arxiv.org/abs/{bare}", f"https://arxiv.org/pdf/{bare}v3", f"https://doi.org/10.48550/arXiv.{bare}"):
        assert links_pass_to(page, source.format(number))
    other = bare[:-1] + ("3" if bare[-1] != "3" else "4")
    assert not links_pass_to(f"https://arxiv.org/abs/{other}", source.format(number))
    assert canonical(f"https://arxiv.org/abs/{bare}") in map(canonical, extract_links(source.format(number)))


@pytest.mark.parametrize(
    "source", ["10.1000/xyz-1_2", "(DOI 10.1000/xyz-1_2)", "DOI：10.1000/xyz-1_2。", "doi = {10.1000/xyz-1\\_2}", "doi.org/10.1000/XYZ-1_2", "见10.1000/xyz-1_2，"]
)  # fmt: skip
def test_links_to_a_doi_that_stands_bare(source):
    assert links_pass_to("https://doi.org/10.1000/xyz-1_2", source)
    assert not links_pass_to("https://doi.org/10.1000/xyz-1_3", source)
    assert [canonical(link) for link in extract_links(source)] == ["doi.org/10.1000/xyz-1_2"]


@pytest.mark.parametrize(
    "source",
    [
        "git+https://github.com/zelkis/kiln@d40f54fc2f15", "'git+https://github.com/zelkis/kiln.git@v1.0#egg=kiln'", "kiln @ git+https://github.com/zelkis/kiln@a/b",
        "git@github.com:zelkis/kiln.git", "git@github.com:Zelkis/Kiln。", "ssh://git@github.com:22/zelkis/kiln.git", "git+ssh://git@github.com/zelkis/kiln.git@v1",
        "git://github.com/zelkis/kiln.git", "https://github.com/zelkis/kiln.git",
    ],
)  # fmt: skip
def test_links_to_a_repository_that_git_is_told(source):
    assert links_pass_to(KILN, f"    pip install {source}")
    assert links_pass_to(f"{KILN}.git", f"`{source}`")
    for other in (f"{KILN}-2", f"{KILN}@d40f54fc2f15", "https://github.com/zelkis", "https://git@github.com/zelkis/kiln"):
        assert not links_pass_to(other, source)
    assert [canonical(link) for link in extract_links(source)] == ["github.com/zelkis/kiln"]


@pytest.mark.parametrize(
    ("source", "beside"),
    [
        ("[x](<https://ex.example/my file>)", "https://ex.example/my"),
        ("[x](https://ex.example/Hooray!)", "https://ex.example/Hooray"),
        ("[x](https://ex.example/Zipf's_law)", "https://ex.example/Zipf"),
        ("https://ex.example/Zipf's_law", "https://ex.example/Zipf"),
        ("[x](https://ex.example/a/知识)", "https://ex.example/a"),
        ('<a href="https://ex.example/a[1]">x</a>', "https://ex.example/a"),
        (r"[x](https://ex.example/my\_file)", "https://ex.example/my"),
        (r"https://ex.example/my\_file", "https://ex.example/my"),
        ('<a href="README.md">x</a>', "README.md"),
        ("see [x]: https://ex.example/a. (https://ex.example/b)!", "https://ex.example/b)!"),
    ],
)
def test_links_to_a_page_that_another_reader_would_see_are_refused(source, beside):
    assert not links_pass(f"[x](<{beside}>)", f"{source} {KILN}")


def test_links_may_be_those_of_markdown_that_is_broken():
    for source in (
        "[x](https://ex.example/a. Next",
        "[x]: https://ex.example/a. Next",
        "[x](https://ex.example/a)!",
        "[x] (https://ex.example/a!)",
    ):
        assert links_pass_to("https://ex.example/a", source), source


def test_links_with_a_user_are_no_repository():
    for user in (
        "https://git@github.com/zelkis/kiln",
        "git+https://evil.example@github.com/zelkis/kiln@v1",
        "https://git@github.com:zelkis/kiln",
    ):
        assert not links_pass_to(KILN, user)
        assert not links_pass_to(user.removeprefix("git+"), KILN)
    assert links_pass_to("https://gitlab.example/a/b/kiln", "git clone git@gitlab.example:a/b/kiln.git")


@pytest.mark.parametrize(
    ("source", "offers"),
    [
        ("![look](https://ex.example/look.png) https://ex.example/clip.mp4", False),
        ("[![x](https://img.shields.io/badge/x)](https://img.shields.io/y) or ask a@ex.example", False),
        ("https://ex.example/look.png of https://ex.example/album", True),
    ],
)
def test_links_are_not_asked_for_where_the_source_has_pictures_alone(source, offers):
    assert links_pass("nothing", source) is not offers


@pytest.mark.parametrize(
    "piece", ["https://", "https://a/人", "https://a/x'", "\\_", "](https://a/(", "](<https://a ", "git@a.b:c/", "git+https://a/b@", "10.1000/(", "arXiv:a-",
              "eprint = {", "abs/", "href=\"href='", "https://a/<1:a>2", "ssh://a.", "https://a–", "]: https://a\n"]
)  # fmt: skip
def test_links_are_read_in_linear_time(piece):
    started = time.process_time()
    links_of(piece * (40_000 // len(piece)))
    assert time.process_time() - started < 2


@pytest.mark.parametrize("before", ["[x](https://foo.example/a-b)", "`curl https://foo.example/a-b`"])
def test_links_are_marked_where_they_stand(before):
    """An address that begins another one, and one that comes twice."""
    said = f"# Foo\n\n{before}, [y](https://foo.example/a) and [z](https://foo.example/a).\n"
    links = check_links(read(said), *offered("See https://foo.example/a-b."))
    places = [at for at in range(len(said)) if said.startswith("https://foo.example/a)", at)]
    assert [span.start for span in links.spans] == places

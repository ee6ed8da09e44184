"""The fetcher against a loopback server that attacks it: each refusal in its own words, each promise of politeness measured."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import aclosing

import pytest
from commands import ROOT
from fetch_server import NOBODY, PAGE, serve
from pydantic import ValidationError

from data_prep.pages.addresses import Refused, check, matches, not_public
from data_prep.pages.cache import PageCache, fetched_page, refused_page
from data_prep.pages.fetch import FetchConfig, Fetcher, fetch_all
from data_prep.pages.politeness import ROBOTS_BYTES, Lane, turn


@pytest.fixture
def web():
    server, web = serve()
    yield web
    server.shutdown()
    server.server_close()


@pytest.fixture
def snapshots(tmp_path):
    with PageCache(tmp_path / "pages.sqlite") as opened:
        yield opened


def fetch(web, snapshots, *urls, **changes):
    """The pages of `urls`, asked for at the same time, at rates that do not slow a test down."""
    config = FetchConfig(
        **{"mode": "open", "per_host_per_second": 1000.0, "total_seconds": 5.0, "max_bytes": 1_000_000} | changes
    )

    async def run():
        async with aclosing(Fetcher(config, snapshots, web.gate)) as fetcher:
            return await asyncio.gather(*(fetcher.fetch(url) for url in urls))

    return asyncio.run(run())


NOT_PUBLIC = """
0.0.0.0 unspecified; 0.1.2.3 unspecified; 10.0.0.1 private; 172.16.0.1 private; 172.31.255.255 private; 192.168.1.1 private
100.64.0.1 shared; 100.127.255.255 shared; 127.0.0.1 loopback; 127.9.9.9 loopback; 169.254.169.254 link-local
192.0.0.8 reserved; 192.0.2.1 documentation; 198.51.100.7 documentation; 203.0.113.9 documentation; 198.18.0.1 benchmarking
198.19.255.255 benchmarking; 192.88.99.1 6to4; 224.0.0.1 multicast; 239.255.255.250 multicast; 240.0.0.1 reserved
255.255.255.255 reserved; :: unspecified; ::1 loopback; fc00::1 private; fd12::1 private; fe80::1 link-local; fec0::1 site-local
fe80::1%lo link-local; ff02::1 multicast; 64:ff9b::a9fe:a9fe NAT64; 64:ff9b:1::1 NAT64; 2001::1 Teredo; 2001:1ff::1 Teredo
2001:db8::1 documentation; 2002:7f00:1:: 6to4; 3fff::1 documentation; 100::1 reserved; 5f00::1 reserved; 4000::1 outside; 1::1 outside
::ffff:127.0.0.1 loopback; ::ffff:169.254.169.254 link-local; ::ffff:10.0.0.1 private; ::127.0.0.1 loopback; ::10.0.0.1 private
""".replace(";", "\n").strip().splitlines()  # fmt: skip


@pytest.mark.parametrize("line", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_named_for_what_it_is(line):
    address, word = line.split()
    assert word in not_public(address)


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.32.0.1 223.255.255.255 2606:4700::1 ::ffff:8.8.8.8".split(),
)
def test_public_addresses_pass_up_to_the_edge(address):
    assert not_public(address) == ""


# name, URL, words of the refusal. Words start with ! where the refusal is passing: nothing is kept and the next run asks again.
ATTACKS = [
    ("decimal address", "http://2130706433/", "127.0.0.1 is loopback"),
    ("hex address", "http://0x7f000001/", "127.0.0.1 is loopback"),
    ("octal address", "http://0177.1/", "127.0.0.1 is loopback"),
    ("octal address in four parts", "http://0177.0.0.1/", "not a URL"),
    ("short address", "http://127.1/", "127.0.0.1 is loopback"),
    ("mixed address", "http://0xa9.254.0xa9fe/", "169.254.169.254 is link-local"),
    ("zero", "http://0/", "0.0.0.0 is unspecified"),
    ("ideographic full stops", "http://127。0。0。1/", "127.0.0.1 is loopback"),
    ("trailing dot", "http://127.0.0.1./", "127.0.0.1 is loopback"),
    ("plain loopback", "http://127.0.0.1/page", "127.0.0.1 is loopback"),
    ("IPv6 loopback", "http://[::1]/", "::1 is loopback"),
    ("mapped loopback", "http://[::ffff:127.0.0.1]/", "is loopback"),
    ("mapped metadata", "http://[::ffff:a9fe:a9fe]/", "is link-local"),
    ("NAT64 metadata", "http://[64:ff9b::a9fe:a9fe]/", "NAT64"),
    ("metadata", "http://169.254.169.254/latest/meta-data/", "169.254.169.254 is link-local"),
    ("private", "https://10.0.0.1/", "10.0.0.1 is private"),
    ("name of a private address", "http://inside.example/", "192.168.0.7 is private"),
    ("one private among public", "http://mixed.example/", "10.0.0.1 is private"),
    ("file", "file:///etc/passwd", 'scheme "file" is neither'),
    ("script", "javascript:alert(1)", 'scheme "javascript" is neither'),
    ("no scheme", "//a.example/", 'scheme "" is neither'),
    ("no host", "http:///page", '"" is not a host'),
    ("user name", "http://a.example@b.example/", "user name or password"),
    ("password", "http://me:pw@a.example/", "user name or password"),
    ("backslash", "http://b.example\\@a.example/", "user name or password"),
    ("backslash in a host", "http://b.example\\.a.example/", "is not a host"),
    ("percent in a host", "http://b.example%2f.a.example/", "is not a host"),
    ("zone in a host", "http://[fe80::1%25lo]/", "is not a host"),
    ("long label", f"http://{'a' * 64}.example/", "is not a host"),
    ("SSH port", "http://a.example:22/", "port 22 is neither"),
    ("no number", "http://a.example:http/", "not a URL"),
    ("NUL", "http://a.example/\0", "not a URL"),
    ("line break", "http://a.example/\r\nCookie: x", "not a URL"),
    ("lone surrogate", "http://a.example/\ud800", "not a URL"),
    ("not a word of IDNA", "http://\u2603\u200d.example/", "not a URL"),
    ("redirect to metadata", "http://a.example/to?http://169.254.169.254/", "169.254.169.254 is link-local"),
    ("redirect to decimal", "http://a.example/to?//2130706433/", "127.0.0.1 is loopback"),
    ("redirect to a private name", "http://a.example/to?http://inside.example/", "192.168.0.7 is private"),
    ("redirect to a file", "http://a.example/to?file:///etc/passwd", 'scheme "file" is neither'),
    ("redirect to a port", "http://a.example/to?http://a.example:6379/", "port 6379 is neither"),
    ("redirect with a password", "http://a.example/to?http://me:pw@a.example/", "user name or password"),
    ("redirect nowhere", "http://a.example/to?http://[::z]/", "redirected to 'http://[::z]/': Invalid"),
    ("redirect without a place", "http://a.example/to", "status 302"),
    ("redirect loop", "http://a.example/loop", "more than 5 redirects"),
    ("robots.txt elsewhere", "http://stray.example/page", "robots.txt redirected to 'gopher://x/'"),
    ("too large", "http://a.example/big?6000000", "larger than 1000000 bytes"),
    ("gzip bomb", "http://a.example/bomb?gzip", "larger than 1000000 bytes"),
    ("deflate bomb", "http://a.example/bomb?deflate", "larger than 1000000 bytes"),
    ("bomb in a bomb", "http://a.example/bomb?gzip,%20gzip", 'content encoding "gzip, gzip" is neither'),
    ("unknown encoding", "http://a.example/bomb?br", 'content encoding "br" is neither'),
    ("torn gzip", "http://a.example/torn", "!DecodingError"),
    ("slow drip", "http://a.example/drip", "!no whole answer within 0.6 s"),
    ("slow header", "http://a.example/drip-head", "!no whole answer within 0.6 s"),
    ("not HTTP", "http://a.example/noise", "!no answer from a.example: RemoteProtocolError"),
    ("half a page", "http://a.example/short", "!no answer from a.example: RemoteProtocolError"),
    ("nobody there", "http://gone.example/", "!no answer from gone.example"),
    ("unknown name", "http://unknown.example/", "!no answer from unknown.example: gaierror"),
    ("binary", "http://a.example/type?application/octet-stream", 'content type "application/octet-stream" is none'),
    ("no type", "http://a.example/type?", 'content type "" is none'),
    ("not found", "http://a.example/status?404", "status 404"),
    ("not modified", "http://a.example/status?304", "status 304"),
    ("too many requests", "http://a.example/status?429", "!status 429"),
    ("server error", "http://a.example/status?500", "!status 500"),
]  # fmt: skip


# Those whose refusal is the time that they take; the others are given more, since a busy machine may take it too.
SLOW = {"slow drip", "slow header"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """The page of each attack by URL, met by one fetcher or, if slow, by an impatient one. Another meets those again whose
    refusal is final."""
    server, web = serve()
    web.names |= {
        "inside.example": [[("192.168.0.7", 80)]],
        "mixed.example": [[("127.0.0.1", web.port), ("10.0.0.1", 80)]],
        "gone.example": [[NOBODY]],
        "unknown.example": [socket.gaierror(socket.EAI_NONAME, "Name or service not known")],
    }
    web.robots["stray.example"] = {"status": 302, "Location": "gopher://x/"}
    with PageCache(tmp_path_factory.mktemp("attacked") / "pages.sqlite") as snapshots:
        pages = fetch(web, snapshots, *(url for name, url, _ in ATTACKS if name not in SLOW), total_seconds=30.0)
        pages += fetch(web, snapshots, *(url for name, url, _ in ATTACKS if name in SLOW), total_seconds=0.6)
        seen = web.resolved.total()
        fetch(web, snapshots, *(url for _, url, words in ATTACKS if words[0] != "!"))
        assert web.resolved.total() == seen
        assert {url for _, url, _ in ATTACKS if snapshots.get(url)} == {url for _, url, words in ATTACKS if words[0] != "!"}
    server.shutdown()
    return {page.url: page for page in pages}


@pytest.mark.parametrize(("url", "words"), [case[1:] for case in ATTACKS], ids=[case[0] for case in ATTACKS])
def test_an_attack_is_refused_in_words_and_asked_again_only_where_it_may_pass(attacked, url, words):
    assert words.removeprefix("!") in attacked[url].refused
    assert attacked[url].content == b""


def test_a_page_comes_whole_and_a_second_run_sends_nothing(web, snapshots):
    urls = ["http://a.example/page?x=1#part", "https://b.example./caf\u00e9", "http://b\u00fccher.example/to?/big?70000"]
    web.names["b.example"] = [[NOBODY]]  # no TLS here: the second is a refusal that passes
    first = fetch(web, snapshots, *urls)
    assert (first[0].final_url, first[0].status, first[0].content_type) == ("http://a.example/page?x=1", 200, "text/html")
    assert (first[0].url, first[0].content, first[0].refused) == (urls[0], PAGE, "")
    assert first[0].sha256 == fetched_page("", "", "", PAGE).sha256
    assert "no answer from b.example" in first[1].refused
    assert (len(first[2].content), first[2].final_url) == (70000, "http://xn--bcher-kva.example/big?70000")
    assert {asked.headers["user-agent"] for asked in web.asked} == {"card-summarizer/0.1.0"}
    seen = len(web.asked)
    assert fetch(web, snapshots, urls[0], urls[2]) == [first[0], first[2]]
    assert len(web.asked) == seen


def test_redirects_are_followed_up_to_the_limit(web, snapshots):
    [page] = fetch(web, snapshots, "http://a.example/to?/to?/page", max_redirects=1)
    assert (page.refused, page.final_url) == ("more than 1 redirects", "http://a.example/page")
    assert [asked.path for asked in web.pages] == ["/to?/to?/page", "/to?/page"]
    assert fetch(web, snapshots, page.url, max_redirects=2)[0].content == PAGE


def test_the_same_page_asked_for_at_the_same_time_is_asked_once(web, snapshots):
    pages = fetch(web, snapshots, *["http://a.example/slow?0.1"] * 5)
    assert [page.content for page in pages] == [PAGE] * 5
    assert [asked.path for asked in web.asked] == ["/robots.txt", "/slow?0.1"]


def test_a_bomb_and_a_large_page_are_left_half_way(web, snapshots):
    fetch(web, snapshots, "http://a.example/big?50000000", max_bytes=100_000)
    time.sleep(0.2)
    assert web.sent["/big?50000000"] < 20_000_000  # what fits into the sockets' buffers


def test_a_name_that_turns_private_after_the_first_look_gains_nothing(web, snapshots):
    web.names["turn.example"] = [[("127.0.0.1", web.port)], [("10.0.0.1", 80)]]
    hang_up, page = "http://turn.example/hang-up", "http://turn.example/page"
    [first] = fetch(web, snapshots, hang_up, robots=False)
    assert (first.refused, web.resolved["turn.example"]) == ("", 1)  # looked up once: judged and connected to the same address
    [second] = fetch(web, snapshots, page, robots=False)
    assert second.refused == "address 10.0.0.1 is private"
    assert [asked.path for asked in web.asked] == ["/hang-up"]


def test_no_proxy_password_or_cookie_comes_from_outside(web, snapshots, monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine a.example login me password pw\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    pages = fetch(web, snapshots, "http://a.example/to?/page", "http://a.example/page?again", contact="https://us.example/")
    assert [page.refused for page in pages] == ["", ""]
    assert len(web.pages) == 3
    sent = set().union(*(asked.headers for asked in web.asked))
    assert sent == {"host", "user-agent", "accept", "accept-encoding"}
    assert web.asked[0].headers["user-agent"] == "card-summarizer/0.1.0 (+https://us.example/)"


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificate with openssl")
def test_tls_is_verified_for_the_name_and_not_the_address(snapshots, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {key} -out {certificate}"
    )
    names = ["-subj", "/CN=tls.example", "-addext", "subjectAltName=DNS:tls.example"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server, web = serve(context)
    try:
        [page] = fetch(web, snapshots, "https://tls.example/page")
        assert "CERTIFICATE_VERIFY_FAILED" in page.refused
        assert web.asked == []
        trusting = ssl.create_default_context(cafile=certificate)
        monkeypatch.setattr("data_prep.pages.transport.httpx2.create_ssl_context", lambda **_: trusting)
        right, wrong = fetch(web, snapshots, "https://tls.example./page", "https://other.example/page")
        assert (right.content, web.asked[-1].host) == (PAGE, "tls.example")
        assert "Hostname mismatch" in wrong.refused
    finally:
        server.shutdown()
        server.server_close()


def test_the_allow_list_takes_whole_names_and_names_below_a_wildcard(web, snapshots):
    asked = "a.example sub.a.example xa.example x.pages.example pages.example a.example.evil.example".split()
    pages = fetch(
        web, snapshots, *(f"http://{host}/page" for host in asked), mode="allowlist", allow=["a.example", "*.pages.example"]
    )
    assert [page.refused for page in pages] == [
        "", "sub.a.example is not in the allow-list", "xa.example is not in the allow-list", "",
        "pages.example is not in the allow-list", "a.example.evil.example is not in the allow-list",
    ]  # fmt: skip
    [strayed] = fetch(web, snapshots, "http://a.example/to?http://b.example/", mode="allowlist", allow=["a.example"])
    assert "b.example is not in the allow-list" in strayed.refused
    assert {asked.host for asked in web.asked} == {"a.example", "x.pages.example"}
    assert snapshots.get("http://xa.example/page").refused == "xa.example is not in the allow-list"
    [opened] = fetch(web, snapshots, strayed.url)  # a refusal made under other rules does not stand
    assert opened.content == PAGE
    assert matches("a.b.github.io", "*.github.io")
    assert not matches("evilgithub.io", "*.github.io")


def test_fetching_switched_off_still_has_the_pages_of_earlier_runs(web, snapshots):
    kept = fetch(web, snapshots, "http://a.example/page")
    seen = len(web.asked)
    pages = fetch(web, snapshots, "http://a.example/page", "http://a.example/other", mode="off")
    assert pages[0] == kept[0]
    assert "fetching is off" in pages[1].refused
    assert len(web.asked) == seen


@pytest.mark.parametrize(
    "changes",
    [
        {"allow": ["https://huggingface.co/"]},
        {"allow": ["*"]},
        {"contact": "me\r\nCookie: x"},
        {"mirror": "ftp://x"},
        {"max_bytes": 0},
        {"gate": 1},
    ],
)
def test_a_recipe_with_a_mistake_is_refused(changes):
    with pytest.raises(ValidationError):
        FetchConfig(**changes)


def test_robots_rules_hold_and_are_asked_for_once_a_day(web, snapshots):
    rules = b"User-agent: *\nDisallow: /\n\nUser-agent: Card-Summarizer\nDisallow: /closed\n"
    web.robots |= {
        "a.example": {"body": rules},
        "late.example": {"body": b"#" * (ROBOTS_BYTES - 40) + b"\nUser-agent: *\nDisallow: /\n" + b"#" * 1_000_000},
        "moved.example": {"status": 301, "Location": "http://a.example/robots.txt"},
        "down.example": {"status": 503},
        "limit.example": {"status": 429},
        "round.example": {"status": 302, "Location": "/robots.txt"},
    }
    hosts = "a late moved down limit round none".split()
    pages = fetch(web, snapshots, *(f"http://{host}.example/{path}" for host in hosts for path in ("page", "closed/x")))
    assert [page.refused.replace("robots.txt of ", "") for page in pages] == [
        "", "a.example disallows it", "late.example disallows it", "late.example disallows it", "", "moved.example disallows it",
        *["down.example answered 503, which forbids all"] * 2, *["limit.example answered 429, which forbids all"] * 2, "", "", "", "",
    ]  # fmt: skip
    asked = [asked.host for asked in web.asked if asked.path == "/robots.txt"]
    assert {host: asked.count(f"{host}.example") for host in hosts} == {
        "a": 2,  # the second time for moved.example
        "late": 1,
        "moved": 1,
        "down": 1,
        "limit": 1,
        "round": 6,
        "none": 1,
    }
    fetch(web, snapshots, "http://a.example/new", "http://down.example/new")
    again = [asked.host for asked in web.asked if asked.path == "/robots.txt"][len(asked) :]
    assert again == ["down.example"]  # a failure holds for one run only
    snapshots._base.execute("UPDATE robots SET fetched = fetched - 86401")
    fetch(web, snapshots, "http://a.example/tomorrow")
    assert [(asked.host, asked.path) for asked in web.asked[-2:]] == [("a.example", "/robots.txt"), ("a.example", "/tomorrow")]
    assert fetch(web, snapshots, "http://late.example/page", robots=False)[0].content == PAGE


def shortest(times):
    return min(after - before for before, after in itertools.pairwise(times))


def turns_of(monkeypatch):
    """When hosts' turns came, by the fetcher's own clock: on a busy machine a server hears of two requests at once."""
    turns, pace = [], Lane.pace

    async def paced(lane):
        await pace(lane)
        turns.append(time.monotonic())

    monkeypatch.setattr(Lane, "pace", paced)
    return turns


def test_one_host_is_asked_at_its_rate_over_one_connection_while_others_go_on(web, snapshots, monkeypatch):
    urls = [f"http://{host}.example/slow?0.2&{number}" for number in range(4) for host in "abc"]
    pages = fetch(web, snapshots, *urls, per_host_per_second=20.0)
    assert [page.content for page in pages] == [PAGE] * 12
    assert web.most_at_once == {"a.example": 1, "b.example": 1, "c.example": 1, "all": 3}
    web.asked.clear()
    turns = turns_of(monkeypatch)
    fetch(web, snapshots, *(f"http://quick.example/{number}" for number in range(6)), per_host_per_second=10.0)
    assert len(web.asked) == len(turns) == 7
    assert shortest(turns) > 0.095


def test_arxiv_is_one_host_that_is_asked_every_three_seconds_at_most():
    assert {turn(host) for host in ("arxiv.org", "export.arxiv.org", "www.arxiv.org")} == {"arxiv.org"}
    assert turn("notarxiv.org") == "notarxiv.org"
    assert (Lane("export.arxiv.org", 20.0).seconds, Lane("arxiv.org", 0.1).seconds, Lane("a.example", 20.0).seconds) == (
        3.0,
        10.0,
        0.05,
    )


def test_a_crawl_delay_is_kept_to_up_to_its_cap(web, snapshots, monkeypatch):
    web.robots["a.example"] = {"body": b"User-agent: *\nCrawl-delay: 0.3\n"}
    turns = turns_of(monkeypatch)
    fetch(web, snapshots, "http://a.example/1", "http://a.example/2")
    assert len(web.asked) == len(turns) == 3
    assert shortest(turns) > 0.295
    lane = Lane("a.example", 1.0)
    asyncio.run(lane.slow_down(1e9))
    assert lane.seconds == 30


def test_a_busy_host_is_asked_once_more_when_it_says_and_not_at_all_after_a_minute(web, snapshots):
    soon, late = fetch(web, snapshots, "http://a.example/busy?1", "http://a.example/busy?61", robots=False)
    times = [asked.time for asked in web.asked if asked.path == "/busy?1"]
    assert (soon.content, len(times), times[1] - times[0] > 0.95) == (PAGE, 2, True)
    assert (late.refused, sum(asked.path == "/busy?61" for asked in web.asked)) == ("status 429", 1)
    assert snapshots.get(late.url) is None


def test_fetch_all_keeps_the_order_reads_a_window_ahead_and_starts_again_for_free(web, tmp_path):
    mirror, base, read = f"http://127.0.0.1:{web.port}/copy/", tmp_path / "new" / "pages.sqlite", []
    config = FetchConfig(mirror=mirror, concurrency=3)
    urls = [
        f"https://{host}/{number}?q=%20" for number, host in enumerate(["huggingface.co", "arxiv.org", "nowhere.example"] * 4)
    ]
    pages = fetch_all(config, base, (read.append(url) or url for url in urls))
    started = time.monotonic()
    first = next(pages)
    assert (first.url, first.final_url, len(read)) == (urls[0], urls[0], 3)
    rest = [first, *pages]
    assert time.monotonic() - started < 2  # a mirror has no rates; arXiv alone would take 9 s
    assert [page.url for page in rest] == urls
    assert [page.refused for page in rest] == ["", "", "nowhere.example is not in the allow-list"] * 4
    assert sorted(asked.path for asked in web.asked) == sorted(
        f"/copy/https/{url.removeprefix('https://')}" for url in urls if "nowhere" not in url
    )
    seen = len(web.asked)
    again = list(fetch_all(config, base, urls))
    assert [page for page in again if not page.refused] == [page for page in rest if not page.refused]
    assert len(web.asked) == seen


def test_fetch_all_fetches_on_while_its_caller_works_and_ends_when_the_caller_does(web, tmp_path):
    config = FetchConfig(mode="open", per_host_per_second=1000.0, robots=False, total_seconds=0.6, concurrency=4)
    urls = ["http://a.example/1", "http://b.example/slow?0.4", "http://c.example/slow?0.4", "http://d.example/drip"]
    pages = fetch_all(config, tmp_path / "pages.sqlite", urls, web.gate)
    assert next(pages).content == PAGE
    started = time.monotonic()
    while len(web.asked) < 4:  # while the caller is busy and takes no page
        assert time.monotonic() - started < 30
        time.sleep(0.01)
    assert [page.refused for page in pages] == ["", "", "no whole answer within 0.6 s"]
    pages = fetch_all(config, tmp_path / "pages.sqlite", [urls[0], "http://d.example/slow?5"], web.gate)
    next(pages)
    started = time.monotonic()
    pages.close()
    assert time.monotonic() - started < 3  # not the 5 s of the second


def test_the_mirror_is_the_only_way_to_a_private_address(web, tmp_path):
    config = FetchConfig(mode="open", mirror=f"http://127.0.0.1:{web.port}")
    urls = ["https://10.0.0.1/page", "http://a.example/x"]
    assert [page.content for page in fetch_all(config, tmp_path / "a.sqlite", urls)] == [PAGE, PAGE]
    assert sorted(asked.path for asked in web.asked) == ["/http/a.example/x", "/https/10.0.0.1/page"]  # side by side
    [page] = fetch_all(config.model_copy(update={"mirror": None}), tmp_path / "b.sqlite", urls[:1])
    assert page.refused == "address 10.0.0.1 is private"


def test_a_process_killed_while_it_stores_leaves_every_page_that_it_had_stored(tmp_path):
    base = tmp_path / "pages.sqlite"
    code = (
        "import itertools, os, pathlib, sys; from data_prep.pages.cache import *\n"
        "snapshots = PageCache(pathlib.Path(sys.argv[1]))\n"
        "for n in itertools.count():\n"
        "    snapshots.put(fetched_page(f'u{n}', '', 'text/html', os.urandom(200_000)))\n"
        "    print(n, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(base)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    for _ in range(20):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    stored = 20 + len(process.stdout.read().splitlines())
    with PageCache(base) as snapshots:
        assert snapshots._base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        pages = [snapshots.get(f"u{number}") for number in range(stored)]
        assert all(page.sha256 == fetched_page("", "", "", page.content).sha256 for page in pages)
        snapshots.put(refused_page("u0", "", 404, "status 404"), "rules")
        assert snapshots.get("u0").refused == "status 404"
        assert snapshots.get("u0", "other rules") is None


def test_a_file_that_holds_something_else_is_a_persons_mistake(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database\n" * 100)
    for path in (tmp_path / "notes.txt", tmp_path):
        with pytest.raises(ValueError, match="move it away or name another"):
            PageCache(path)
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


def test_check_leaves_nothing_in_a_url_that_a_server_could_take_otherwise():
    assert str(check("HTTP://Huggingface.co.:80/a/../b#c", None)) == "http://huggingface.co/b"
    with pytest.raises(Refused, match="not in the allow-list"):
        check("http://good.example@b.example/".replace("@", "."), ["good.example"])

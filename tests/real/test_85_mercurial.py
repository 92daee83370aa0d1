"""Mercurial's hgweb from Debian's package, used by hg: clone, push, pull, and the pages."""

import io
import os
import random
import shutil
import subprocess
import tarfile
import zipfile

import pytest
from rig.crowd import at_once

pytest.importorskip("mercurial.hgweb", reason="mercurial is not installed")

HG = shutil.which("hg")
BIG = random.Random(89).randbytes(3_000_000)
ENVIRON = {"PATH": os.environ["PATH"], "HGRCPATH": "", "HGPLAIN": "1", "HGUSER": "Ada <ada@app.example>",
           "LANG": "C.UTF-8"}


def hg(*args, cwd=None, fails=False):
    """What hg says; with fails, what it complains about."""
    done = subprocess.run([HG, *args], cwd=cwd, env=ENVIRON, capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0) == fails, f"hg {args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stderr if fails else done.stdout


def commit(folder, files, message):
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    hg("commit", "-A", "-q", "-m", message, "-d", "1700000000 0", cwd=folder)


def prepare(folder):
    """Three repositories with the same history; one may be pushed to."""
    main, pushed, closed = (os.path.join(folder, "data", name) for name in ("main", "pushed", "closed"))
    hg("init", main)
    commit(main, {f"file{n}.txt": b"line %d\n" % n * 500 for n in range(20)}, "Many files: h\u00e4")
    commit(main, {"big.bin": BIG}, "A big file")
    commit(main, {"file7.txt": b"changed\n"}, "A change")
    shutil.copytree(main, pushed)
    shutil.copytree(main, closed)
    with open(os.path.join(pushed, ".hg", "hgrc"), "w", encoding="ascii") as f:
        f.write("[web]\nallow-push = *\n")


@pytest.fixture(scope="module")
def site(real):
    return real("hg", mount="/hg", prepare=prepare, tags=[(r"\d+", "TIME")], scrub=[
        (r"http://[\w.]+:\d+/", "http://ADDRESS/"), (r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000", "DATE")])


@pytest.fixture
def url(site, mode):
    return lambda name: f"http://127.0.0.1:{site.port(mode)}/hg/{name}"


def history(repo):
    return hg("log", "-R", repo, "-T", "{node} {desc}\\n", "-r", "all()")


def test_85_01_clone_pull_and_stream(site, mode, url, tmp_path):
    for way in (("--pull",), ("--stream",)):
        copy = str(tmp_path / ("clone" + "".join(way)))
        hg("clone", "-q", *way, url("main"), copy)
        hg("verify", "-q", cwd=copy)
        assert history(copy).split("\n") == history(site.data("reference", "main")).split("\n")
        with open(os.path.join(copy, "big.bin"), "rb") as f:
            assert f.read() == BIG
    assert hg("identify", "-i", url("main")).strip() == hg("log", "-R", copy, "-r", "tip", "-T",
                                                           "{node|short}")


def test_85_02_push_arrives_and_can_be_pulled(site, mode, url, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    hg("clone", "-q", url("pushed"), one)
    hg("clone", "-q", url("pushed"), two)
    data = random.Random(10).randbytes(5_000_000)
    commit(one, {f"new-{mode}.bin": data}, "Pushed over HTTP")
    hg("bookmark", "here", cwd=one)
    hg("push", "-B", "here", cwd=one)
    hg("pull", "-q", "-u", cwd=two)
    assert "here" in hg("bookmarks", "-R", site.data(mode, "pushed"))
    with open(os.path.join(two, f"new-{mode}.bin"), "rb") as f:
        assert f.read() == data
    hg("verify", "-q", "-R", site.data(mode, "pushed"))


def test_85_03_push_that_is_not_allowed(site, mode, url, tmp_path):
    copy = str(tmp_path / "copy")
    hg("clone", "-q", url("closed"), copy)
    commit(copy, {"more.txt": b"more\n" * 200_000}, "Not wanted")
    assert "authorization" in hg("push", cwd=copy, fails=True)
    assert "Not wanted" not in history(site.data(mode, "closed"))


def test_85_04_pages_are_those_of_the_reference(play):
    def visit(browser):
        for path in ("/", "/main", "/main/shortlog", "/main/log/tip/file7.txt", "/main/file/tip",
                     "/main/file/tip/file7.txt", "/main/raw-file/tip/file7.txt", "/main/rev/1",
                     "/main/annotate/tip/file1.txt", "/main/graph", "/main/static/style-paper.css",
                     "/main/help/urls", "/main/raw-rev/2", "/main/atom-log", "/main?cmd=capabilities",
                     "/main?cmd=branchmap", "/closed"):
            assert browser.get(path).status == 200, path
        assert browser.get("/main/raw-file/tip/big.bin").body == BIG
        assert browser.get("/none").status == 404
        assert browser.get("/main/rev/nonsense").status == 404
        assert browser.get("/main?cmd=unbundle").status in (400, 405, 403)
        tag = browser.get("/main/shortlog").get("ETag")
        assert browser.get("/main/shortlog", [("If-None-Match", tag)]).status == 304
    play(visit)


def test_85_05_archive_is_streamed(site, mode, tmp_path):
    with site.browser(mode) as browser:
        tar = tarfile.open(fileobj=io.BytesIO(browser.get("/main/archive/tip.tar.gz").body))
        (name,) = [n for n in tar.getnames() if n.endswith("big.bin")]
        assert tar.extractfile(name).read() == BIG
        packed = zipfile.ZipFile(io.BytesIO(browser.get("/main/archive/tip.zip").body))
        assert packed.testzip() is None and len(packed.namelist()) == 22


def test_85_06_clones_at_once(url, tmp_path):
    def one(number):
        copy = str(tmp_path / str(number))
        hg("clone", "-q", url("main"), copy)
        with open(os.path.join(copy, "big.bin"), "rb") as f:
            assert f.read() == BIG

    at_once(4, one)

"""As whom the processes of a group run, where they may look, and whose scripts they run."""

import contextlib
import glob
import grp
import os
import pwd
import re
import resource
import shutil
import sysconfig

import pytest

from harness import server
from test_50_daemon import one_group, ready, root_only

OTHER = "nobody"


def uid_of(name):
    return pwd.getpwnam(name).pw_uid


def gid_of(name):
    return grp.getgrnam(name).gr_gid


def status_of(pid):
    """Uid, Gid and Groups of every thread of a process, as the kernel has them."""
    found = set()
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path, encoding="ascii") as f:
            text = f.read()
        found.add(tuple(tuple(map(int, re.search(rf"^{key}:(.*)$", text, re.M)[1].split()))
                        for key in ("Uid", "Gid", "Groups")))
    return found


# -- users and groups


@root_only
def test_identity_01_every_thread_has_it_for_good(own_httpd):
    httpd = own_httpd(**one_group(f"user={OTHER} group=daemon supplementary-groups=adm,#4242 threads=4"))
    pid = httpd.fetch("/who").json()["pid"]
    (uids, gids, groups), = status_of(pid)
    assert set(uids) == {uid_of(OTHER)} and set(gids) == {gid_of("daemon")}
    assert set(groups) == {gid_of("daemon"), gid_of("adm"), 4242}


@root_only
def test_identity_02_groups_of_each_group_are_its_own(own_httpd):
    httpd = own_httpd(main=f"WSGIDaemonProcess a user={OTHER}\nWSGIDaemonProcess b\n"
                           "WSGIScriptAlias /a @apps@/who/wsgi.py process-group=a application-group=%{GLOBAL}\n"
                           "WSGIScriptAlias /b @apps@/who/wsgi.py process-group=b application-group=%{GLOBAL}\n",
                      vhosts={"a": ""})
    for path, user in (("/a", OTHER), ("/b", server.USER)):
        who = httpd.fetch(path).json()
        assert who["uid"] == [uid_of(user)] * 3 and who["gid"] == [gid_of(server.GROUP)] * 3
        assert set(who["groups"]) == set(os.getgrouplist(user, gid_of(server.GROUP)))


@root_only
def test_identity_03_the_supervisor_stays_root_and_httpd_does_not(own_httpd):
    httpd = own_httpd(**one_group(f"user={OTHER}"))
    httpd.fetch("/who")
    supervisor, = httpd.supervisors()
    assert {uids[0] for uids, _, _ in status_of(supervisor)} == {0}
    for pid in httpd.children():
        assert {uids[0] for uids, _, _ in status_of(pid)} == {uid_of(server.USER)}


@root_only
def test_identity_04_umask_home_and_environment(own_httpd):
    home = "/var"
    httpd = own_httpd(**one_group(f"user={OTHER} umask=0037 home={home}"))
    who = httpd.fetch("/who").json()
    assert who["umask"] == "0037" and who["cwd"] == home and who["path"][0] == home
    entry = pwd.getpwnam(OTHER)
    assert (who["env"]["HOME"], who["env"]["USER"], who["env"]["LOGNAME"]) == (entry.pw_dir, OTHER, OTHER)


# -- chroot


@pytest.fixture
def jail(tmp_path_factory):
    """A folder with a Python in it."""
    folder = str(tmp_path_factory.mktemp("jail"))
    for where in (os.path.dirname(folder), folder):
        os.chmod(where, 0o755)
    stdlib = sysconfig.get_path("stdlib")
    shutil.copytree(stdlib, folder + stdlib, symlinks=True, ignore=shutil.ignore_patterns(
        "test", "tests", "idlelib", "ensurepip", "lib2to3", "tkinter", "pydoc_data", "config-*", "dist-packages",
        "site-packages", "__pycache__"))
    yield folder
    shutil.rmtree(folder)


INSIDE = """
import json
import os

def application(environ, start_response):
    body = json.dumps(dict(cwd=os.getcwd(), root=sorted(os.listdir("/")), uid=os.getresuid())).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""


@root_only
@pytest.mark.skipif(bool(server.HOME), reason="the jail has the build's default Python")
def test_identity_10_chroot(own_httpd, jail):
    httpd = own_httpd.make(**one_group(f"chroot={jail} user={OTHER}"))
    os.makedirs(jail + httpd.path("apps/who"))
    with open(jail + httpd.path("apps/who/wsgi.py"), "w", encoding="ascii") as f:
        f.write(INSIDE)
    with open(httpd.path("apps/who/wsgi.py"), "w", encoding="ascii") as f:
        f.write("raise Exception('this one is outside')\n")  # httpd looks at it, the processes do not
    httpd.start()
    who = httpd.fetch("/who").json()
    pid, = ready(httpd, 1)
    assert os.readlink(f"/proc/{pid}/root") == jail
    assert who == {"cwd": "/", "root": sorted(os.listdir(jail)), "uid": [uid_of(OTHER)] * 3}
    (uids, _, groups), = status_of(pid)
    assert set(uids) == {uid_of(OTHER)}
    assert set(groups) == set(os.getgrouplist(OTHER, gid_of(server.GROUP)))
    assert httpd.fetch("/hello").status == 404  # is not inside
    httpd.log.allow("WSGI0105|WSGI0135|WSGI0081|hello/wsgi.py")


# -- what only root can give


@pytest.mark.parametrize("option,what", [
    (f"user={OTHER}", f"user={OTHER}"), ("group=daemon", "group=daemon"), ("group=#4242", "group=#4242"),
    ("supplementary-groups=adm", "supplementary-groups=adm")])
@root_only
def test_identity_20_without_root_it_does_not_start(own_httpd, option, what):
    httpd = own_httpd.make(**one_group(f"threads=2 {option}"))
    httpd.become(server.USER)
    said = httpd.fails_to_start()
    assert f"WSGIDaemonProcess g ({httpd.line_of('WSGIDaemonProcess')}): {what} cannot be had" in said
    assert "WSGI0603" in said and "start it as root, or drop the option" in said


@pytest.mark.parametrize("option,what", [
    ("chroot=/", "Cannot chroot WSGI daemon process when not root. chroot=/ (group 'g')"),
    ("cpu-priority=-1", "Cannot raise the priority of WSGI daemon process when not root. cpu-priority=-1 (group 'g')")])
@root_only
def test_identity_21_nor_with_these(own_httpd, option, what):
    httpd = own_httpd.make(**one_group(option))
    httpd.become(server.USER)
    said = httpd.fails_to_start()
    path, line = httpd.line_of("WSGIDaemonProcess").rsplit(":", 1)
    assert what in said and f"line {line} of {path}" in said


@root_only
def test_identity_22_every_group_is_named(own_httpd):
    httpd = own_httpd.make(main=f"WSGIDaemonProcess a user={OTHER}\nWSGIDaemonProcess b group=daemon\n", vhosts={"a": ""})
    httpd.become(server.USER)
    said = httpd.fails_to_start()
    assert "WSGIDaemonProcess a (" in said and "WSGIDaemonProcess b (" in said


@root_only
def test_identity_23_what_it_has_anyway_is_no_error(own_httpd):
    httpd = own_httpd.make(**one_group(f"user={server.USER} group={server.GROUP} cpu-priority=19 umask=022"))
    httpd.become(server.USER)
    httpd.start()
    assert httpd.fetch("/who").json()["uid"] == [uid_of(server.USER)] * 3


@root_only
@pytest.mark.parametrize("wanted,starts", [("2000M", True), ("2001M", False)])
def test_identity_24_limits_above_its_own(own_httpd, wanted, starts):
    httpd = own_httpd.make(**one_group(f"memory-limit={wanted} cpu-time-limit=60"))
    httpd.become(server.USER)
    httpd.limits = {resource.RLIMIT_DATA: (2000 << 20, 2000 << 20)}
    if starts:
        httpd.start()
        assert httpd.fetch("/hello").status == 200
    else:
        said = httpd.fails_to_start()
        assert "memory-limit=2098200576 (httpd itself has a hard limit of 2097152000) cannot be had" in said


# -- script-user, script-group


@contextlib.contextmanager
def script_of(httpd, user="root", group="root", mode=0o644, folder_mode=0o755):
    """The script of /hello, somebody's."""
    path = httpd.path("apps/hello/wsgi.py")
    os.chown(path, uid_of(user), gid_of(group))
    os.chmod(path, mode)
    os.chmod(os.path.dirname(path), folder_mode)
    yield path


RULES = [
    # option, owner, group, mode, mode of the folder, id of the refusal
    ("script-user=nobody", "nobody", "root", 0o644, 0o755, None),
    ("script-user=nobody", "nobody", "root", 0o600 | 0o044, 0o711, None),
    ("script-user=#65534", "nobody", "root", 0o644, 0o755, None),
    ("script-user=nobody", "root", "root", 0o644, 0o755, "WSGI0154"),
    ("script-user=nobody", "daemon", "root", 0o644, 0o755, "WSGI0154"),
    ("script-user=nobody", "nobody", "root", 0o664, 0o755, "WSGI0155"),
    ("script-user=nobody", "nobody", "root", 0o646, 0o755, "WSGI0156"),
    ("script-user=nobody", "nobody", "root", 0o644, 0o775, "WSGI0158"),
    ("script-user=nobody", "nobody", "root", 0o644, 0o757, "WSGI0159"),
    ("script-group=daemon", "root", "daemon", 0o664, 0o775, None),
    ("script-group=#1", "root", "daemon", 0o664, 0o775, None),
    ("script-group=daemon", "root", "root", 0o644, 0o755, "WSGI0164"),
    ("script-group=daemon", "root", "daemon", 0o646, 0o755, "WSGI0166"),
    ("script-group=daemon", "root", "daemon", 0o644, 0o757, "WSGI0169"),
]


@root_only
@pytest.mark.parametrize("option,user,group,mode,folder,refusal", RULES)
def test_identity_30_whose_scripts_run(own_httpd, option, user, group, mode, folder, refusal):
    httpd = own_httpd(**one_group(option))
    with script_of(httpd, user, group, mode, folder) as path:
        rsp = httpd.fetch("/hello")
        if refusal is None:
            assert rsp.status == 200
            return
        assert rsp.status == 403
        line = httpd.log.wait(refusal)
        assert line.level == "error" and path in line.text and f"'g' ({httpd.line_of('WSGIDaemonProcess')})" in line.text


@root_only
def test_identity_31_each_request_is_looked_at(own_httpd):
    httpd = own_httpd(**one_group("script-user=nobody"))
    httpd.log.allow("WSGI0154")
    with script_of(httpd, "nobody") as path:
        assert httpd.fetch("/hello").status == 200
        os.chown(path, 0, 0)
        assert httpd.fetch("/hello").status == 403
        os.chown(path, uid_of("nobody"), 0)
        assert httpd.fetch("/hello").status == 200


@root_only
def test_identity_32_another_group_and_embedded_mode_have_no_rule(own_httpd):
    httpd = own_httpd(main="WSGIDaemonProcess g script-user=nobody\nWSGIDaemonProcess other\n"
                           "WSGIScriptAlias /other @apps@/hello/wsgi.py process-group=other\n"
                           "WSGIScriptAlias /embedded @apps@/hello/wsgi.py\n"
                           "WSGIScriptAlias /g @apps@/hello/wsgi.py process-group=g\n", vhosts={"a": ""})
    httpd.log.allow("WSGI0154")
    assert [httpd.fetch(p).status for p in ("/other", "/embedded", "/g")] == [200, 200, 403]


@root_only
def test_identity_33_nothing_refused_is_imported_ahead(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g script-user=nobody\n"
                                "WSGIImportScript @apps@/importfails/wsgi.py process-group=g application-group=%{GLOBAL}\n"
                                "WSGIScriptAlias /hello @apps@/hello/wsgi.py process-group=g application-group=%{GLOBAL}\n",
                           vhosts={"a": ""})
    httpd.log.allow("WSGI0154.*importfails.*is not imported")
    with script_of(httpd, "nobody"):
        httpd.start()
        ready(httpd, 1)
        assert httpd.fetch("/hello").status == 200
        assert not httpd.log.find("WSGI0107|Traceback")


@root_only
def test_identity_34_a_handler_script_too(own_httpd):
    httpd = own_httpd(main="WSGIDaemonProcess g script-user=nobody\n"
                           "WSGIHandlerScript mine @apps@/handler/wsgi.py process-group=g\n"
                           "Alias /f @apps@\n<Location /f>\nSetHandler mine\n</Location>\n", vhosts={"a": ""})
    httpd.log.allow("WSGI0154")
    assert httpd.fetch("/f/hello/wsgi.py").status == 403
    os.chown(httpd.path("apps/handler/wsgi.py"), uid_of("nobody"), 0)
    assert httpd.fetch("/f/hello/wsgi.py").status == 200


@pytest.mark.parametrize("options,words", [
    ("script-user=nobody script-group=daemon", "Only one of script-user and script-group allowed."),
    ("script-user=nosuchuser", "Invalid script-user for WSGI daemon process (group 'g')"),
    ("script-user=#x", "'#x' is not '#' followed by a user number"),
    ("script-group=nosuchgroup", "Invalid script-group for WSGI daemon process (group 'g')"),
    ("script-user=", "Invalid script-user"), ("script-group=", "Invalid script-group")])
def test_identity_35_wrong_rules(own_httpd, options, words):
    httpd = own_httpd.make(**one_group(options))
    assert words in httpd.fails_to_start()


# -- what clients ask for that is not there is no error


@pytest.mark.parametrize("path,status,line", [("/dir/nothing.wsgi", 404, "WSGI0135"), ("/dir/", 403, "WSGI0136"),
                                              ("/strict/more", 404, "WSGI0137")])
def test_identity_40_levels_of_refusals(own_httpd, path, status, line):
    httpd = own_httpd(vhosts={"a": "WSGIScriptAlias /dir/ @apps@/\nWSGIScriptAlias /strict @apps@/hello/wsgi.py\n"
                                   "<Location /strict>\nAcceptPathInfo Off\n</Location>\n"})
    assert httpd.fetch(path).status == status
    assert {found.level for found in httpd.log.find(line)} == {"info"}

"""The configurations that the frameworks' own documentation gives for mod_wsgi, taken at their word."""

import base64
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib.util import find_spec

import pytest
from harness import client, server, wait
from harness.server import REPO
from rig.site import APPS

HOST = [("Host", "app.example")]
DAEMONS = "user=%s group=%s" % (server.USER, server.GROUP) if server.ROOT else ""


class Place:
    """A server to be made, with a folder for each recipe."""

    def __init__(self, httpd):
        self.httpd = httpd

    def folder(self, name, source=None):
        path = self.httpd.path("real", name)
        if source:
            shutil.copytree(source, path, ignore=shutil.ignore_patterns("__pycache__", "data"))
        os.makedirs(os.path.join(path, "data"), exist_ok=True)
        return path

    def file(self, folder, name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def start(self):
        top = self.httpd.path("real")
        subprocess.run(["chmod", "-R", "a+rX", top], check=True)
        if server.ROOT:
            subprocess.run(["chown", "-R", f"{server.USER}:{server.GROUP}", top], check=True)
        return self.httpd.start()


@pytest.fixture
def place(own_httpd):
    """place(main, vhost, modules): a server of one virtual host; @real@ is the folder of the recipes."""
    def make(main, vhost, modules=()):
        return Place(own_httpd.make(main=main.replace("@real@", "@dir@/real"),
                                    vhosts={"site": vhost.replace("@real@", "@dir@/real")}, modules=modules))
    return make


def manage(folder, *args):
    subprocess.run([sys.executable, "-B", "manage.py", *args], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)


DJANGO_SCRIPT = """
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()
"""


def django(made):
    pytest.importorskip("django", reason="python3-django is not installed")
    folder = made.folder("mysite.com", os.path.join(APPS, "django"))
    os.remove(os.path.join(folder, "wsgi.py"))
    made.file(os.path.join(folder, "shop"), "wsgi.py", DJANGO_SCRIPT)
    made.file(folder, "data/robots.txt", "User-agent: *\n")
    manage(folder, "migrate", "--verbosity=0")
    return folder


def check_django(httpd):
    assert client.fetch(httpd.port(), "/where/?a=1", HOST).json()["absolute"] == "http://app.example/where/?a=1"
    assert client.fetch(httpd.port(), "/count/", HOST).text == "1"
    assert "Log in" in client.fetch(httpd.port(), "/admin/login/", HOST).text


def test_85_01_django_embedded_with_a_python_path(place):
    made = place("WSGIPythonPath @real@/mysite.com\n", """
        Alias /robots.txt @real@/mysite.com/data/robots.txt
        WSGIScriptAlias / @real@/mysite.com/shop/wsgi.py
        <Directory @real@/mysite.com/shop>
            <Files wsgi.py>
                Require all granted
            </Files>
        </Directory>""")
    django(made)
    httpd = made.start()
    check_django(httpd)
    assert client.fetch(httpd.port(), "/robots.txt", HOST).text == "User-agent: *\n"


def test_85_02_django_in_a_daemon_with_a_virtual_environment(place):
    made = place("WSGIDaemonProcess example.com python-home=@real@/venv python-path=@real@/mysite.com\n"
                 "WSGIProcessGroup example.com\n",
                 "WSGIScriptAlias / @real@/mysite.com/shop/wsgi.py process-group=example.com\n")
    django(made)
    venv = made.folder("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", venv], check=True)
    httpd = made.start()
    check_django(httpd)
    assert len(httpd.workers()) == 1


def test_85_03_flask_with_a_group_in_the_directory(place):
    pytest.importorskip("flask", reason="python3-flask is not installed")
    made = place(f"WSGIDaemonProcess yourapplication {DAEMONS} threads=5\n", """
        WSGIScriptAlias / @real@/flask/yourapplication.wsgi
        <Directory @real@/flask>
            WSGIProcessGroup yourapplication
            WSGIApplicationGroup %{GLOBAL}
            WSGIScriptReloading On
            Require all granted
        </Directory>""")
    folder = made.folder("flask")
    made.file(folder, "yourapplication.py", "from flask import Flask, request, url_for\n"
              "app = Flask(__name__)\n@app.route('/go/<name>')\ndef go(name):\n"
              "    return url_for('go', name=name) + request.environ['mod_wsgi.application_group']\n")
    made.file(folder, "yourapplication.wsgi", "import sys\n"
              "sys.path.insert(0, %r)\nfrom yourapplication import app as application\n" % folder)
    httpd = made.start()
    assert client.fetch(httpd.port(), "/go/x", HOST).text == "/go/x"
    assert client.fetch(httpd.port(), "/", HOST).status == 404
    assert len(httpd.workers()) == 1


def test_85_04_pyramid_from_a_paste_file_with_its_logging(place):
    pytest.importorskip("pyramid", reason="python3-pyramid is not installed")
    made = place("WSGIApplicationGroup %{GLOBAL}\nWSGIPassAuthorization On\n"
                 f"WSGIDaemonProcess pyramid {DAEMONS} threads=4 python-path=@real@/pyramid\n"
                 "WSGIScriptAlias /myapp @real@/pyramid/pyramid.wsgi\n"
                 "<Directory @real@/pyramid>\n    WSGIProcessGroup pyramid\n    Require all granted\n"
                 "</Directory>\n", "")
    folder = made.folder("pyramid")
    made.file(folder, "tutorial.py", "import logging\nfrom pyramid.config import Configurator\n"
              "def hello(request):\n    logging.getLogger('tutorial').warning('said hello')\n"
              "    return {'url': request.route_url('home'), 'to': request.authorization.params}\n"
              "def main(global_config, **settings):\n    with Configurator(settings=settings) as config:\n"
              "        config.add_route('home', '/')\n"
              "        config.add_view(hello, route_name='home', renderer='json')\n"
              "        return config.make_wsgi_app()\n")
    made.file(folder, "production.ini", "[app:main]\nuse = call:tutorial:main\n\n"
              "[loggers]\nkeys = root\n[handlers]\nkeys = console\n[formatters]\nkeys = generic\n"
              "[logger_root]\nlevel = WARN\nhandlers = console\n[handler_console]\nclass = StreamHandler\n"
              "args = (sys.stderr,)\nformatter = generic\n[formatter_generic]\n"
              "format = %(levelname)s [%(name)s:%(lineno)s] %(message)s\n")
    made.file(folder, "pyramid.wsgi", "from pyramid.paster import get_app, setup_logging\n"
              f"ini_path = '{folder}/production.ini'\nsetup_logging(ini_path)\n"
              "application = get_app(ini_path, 'main')\n")
    httpd = made.start()
    httpd.log.allow("said hello")
    since = httpd.log.mark()
    rsp = client.fetch(httpd.port(), "/myapp/", HOST + [("Authorization", "Basic YTpi")]).json()
    assert rsp == {"url": "http://app.example/myapp/", "to": "YTpi"}
    httpd.log.wait(r"WARNING \[tutorial:4\] said hello", since, "site.log")


def test_85_05_bottle_with_its_working_directory(place):
    pytest.importorskip("bottle", reason="python3-bottle is not installed")
    made = place("", f"""
        WSGIDaemonProcess yourapp {DAEMONS} processes=1 threads=5 home=@real@/bottle
        WSGIScriptAlias / @real@/bottle/app.wsgi
        <Directory @real@/bottle>
            WSGIProcessGroup yourapp
            WSGIApplicationGroup %{{GLOBAL}}
            Require all granted
        </Directory>""")
    folder = made.folder("bottle")
    made.file(folder, "helper.py", "answer = 42\n")
    made.file(folder, "page.tpl", "<p>{{answer}} {{name}}\n")
    made.file(folder, "app.wsgi", "import bottle, helper\n@bottle.route('/<name>')\ndef page(name):\n"
              "    return bottle.template('page', answer=helper.answer, name=name)\n"
              "application = bottle.default_app()\n")
    httpd = made.start()
    assert client.fetch(httpd.port(), "/you", HOST).text == "<p>42 you\n"


def test_85_06_radicale_s_own_script_of_the_package(place):
    """Its script, a configuration named by SetEnv, the mount point told by a header, and an umask."""
    pytest.importorskip("radicale", reason="radicale is not installed")
    if server.sanitized():
        pytest.skip("ASan calls crypt() of a library loaded later at 0")
    script = "/usr/share/radicale/radicale.wsgi"
    assert os.path.exists(script)
    made = place("", f"""
        WSGIDaemonProcess radicale {DAEMONS} threads=1 umask=0027
        WSGIScriptAlias /radicale {script}
        <Location /radicale>
            RequestHeader set X-Script-Name /radicale
            SetEnv RADICALE_CONFIG @real@/radicale/config
            WSGIPassAuthorization On
            WSGIProcessGroup radicale
            WSGIApplicationGroup %{{GLOBAL}}
            Require all granted
        </Location>""", modules=("headers",))
    folder = made.folder("radicale")
    made.file(folder, "users", "ada:secret\n")
    made.file(folder, "config", f"[auth]\ntype = htpasswd\nhtpasswd_filename = {folder}/users\n"
              f"htpasswd_encryption = plain\n[storage]\nfilesystem_folder = {folder}/data\n"
              "[web]\ntype = none\n[logging]\nlevel = warning\n")
    httpd = made.start()
    port = httpd.port()
    user = HOST + [("Authorization", "Basic " + base64.b64encode(b"ada:secret").decode())]
    assert client.fetch(port, "/radicale/ada/", HOST, "PROPFIND").status == 401
    assert client.fetch(port, "/radicale/ada/work/", user, "MKCALENDAR").status == 201
    listed = client.fetch(port, "/radicale/ada/", user + [("Depth", "1")], "PROPFIND")
    assert listed.status == 207 and "<href>/radicale/ada/work/</href>" in listed.text
    made_here = os.stat(os.path.join(folder, "data", "collection-root", "ada", "work", ".Radicale.props"))
    assert stat.S_IMODE(made_here.st_mode) & 0o007 == 0


def test_85_07_example_site_in_two_groups_with_static_files(place):
    """As ./dev serve sets it up."""
    pytest.importorskip("django", reason="python3-django is not installed")
    static = os.path.join(os.path.dirname(find_spec("django").origin), "contrib/admin/static/admin")
    made = place("", f"""
        AddType text/css .css
        Alias /static/admin {static}
        WSGIDaemonProcess django processes=3 threads=4
        WSGIDaemonProcess django-admin processes=1 threads=4
        WSGIProcessGroup django
        WSGIScriptAlias / @real@/mysite/django.wsgi
        <Location /admin>
            WSGIProcessGroup django-admin
        </Location>""")
    folder = made.folder("mysite", os.path.join(REPO, "examples", "mysite"))
    manage(folder, "migrate", "--verbosity=0")
    httpd = made.start()

    def answered(path):
        rsp = client.fetch(httpd.port(), path, [("Host", "localhost")])
        assert rsp.status == 200
        return [re.search(f'<b class="{what}">(.*?)</b>', rsp.text)[1] for what in ("process-group", "pid")]

    wait.until(lambda: len(httpd.workers()) == 4, what="four processes")
    assert {answered("/")[0] for _ in range(4)} == {"django"}
    group, pid = answered("/admin/login/")
    assert group == "django-admin" and int(pid) in httpd.workers()
    style = client.fetch(httpd.port(), "/static/admin/css/base.css", [("Host", "localhost")])
    assert style.status == 200 and style.get("Content-Type") == "text/css"

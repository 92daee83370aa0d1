"""./dev lint: what the style asks for and a program can check.

Fails on: clang-format differences, an include against the layer order, a banned call, a // comment,
mutable file-scope data that tools/mutable-data.txt does not explain, a symbol that should not be
exported. Reports, for the reader to judge: long functions and files, many parameters, deep nesting.

usage: lint.py [BUILD-DIRECTORY]
"""

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

USES = {
    "base": [],
    "chan": ["base"],
    "wire": ["chan", "base"],
    "board": ["base"],
    "super": ["board", "wire", "chan", "base"],
    "worker": ["board", "wire", "chan", "base", "py"],
    "front": ["super", "board", "wire", "chan", "base", "py"],
    "py": ["chan", "base"],
    "ctl": ["wire", "chan", "base"],
}
BANNED = ("atoi", "sprintf", "vsprintf", "strcpy", "strcat", "strtok", "gets")
HTTPD_HEADER = re.compile(r"^(ap_|apr_|apr\.h|http|scoreboard|mpm_|mod_|util_|unixd|heartbeat)")
LIMITS = {"function": 80, "file": 600, "parameters": 5, "nesting": 3}


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def c_files(*folders):
    for folder in folders:
        for root, _, names in os.walk(os.path.join(TOP, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(root, name), TOP)


def strip(text):
    """The text with comments and literals blanked; line numbers stay."""

    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]

    return re.sub(
        r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S
    )


def check_format():
    tool = shutil.which("clang-format")
    if not tool:
        return None
    found = []
    for path in c_files("src", "tests", "fuzz", "bench"):
        text = read(path)
        want = subprocess.run(
            [tool, "--style=file", "--assume-filename=" + path],
            input=text, capture_output=True, text=True, cwd=TOP, check=True,
        ).stdout
        if want != text:
            pairs = zip(text.split("\n") + [""], want.split("\n") + [""])
            line = next((n for n, (a, b) in enumerate(pairs, 1) if a != b), 0)
            found.append("%s:%d: clang-format would write this differently" % (path, line))
    return found


def check_layers():
    found, owner = [], {}
    for path in c_files("src"):
        folder, name = path.split(os.sep)[1:3]
        if name.endswith(".h"):
            if name in owner:
                found.append("%s: a header of this name is in src/%s too" % (path, owner[name]))
            owner.setdefault(name, folder)
    for path in c_files("src"):
        folder = path.split(os.sep)[1]
        for number, line in enumerate(read(path).split("\n"), 1):
            match = re.match(r"\s*#\s*include\s*([\"<])([^\">]+)", line)
            if not match:
                continue
            where = "%s:%d: " % (path, number)
            style, name = match.groups()
            home = owner.get(name)
            if style == '"' and home and home != folder:
                if home not in USES[folder]:
                    found.append(where + "src/%s may not use src/%s" % (folder, home))
                elif home == "py" and name != "py.h":
                    found.append(where + "of src/py only py.h may be used")
            if name == "Python.h" and folder != "py":
                found.append(where + "Python.h belongs to src/py")
            if not home and HTTPD_HEADER.match(name) and folder != "front":
                found.append(where + "httpd's headers belong to src/front")
    return found


def check_banned():
    found = []
    pattern = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
    for path in c_files("src", "tests", "fuzz", "bench"):
        for number, line in enumerate(strip(read(path)).split("\n"), 1):
            match = pattern.search(line)
            if match:
                found.append("%s:%d: %s is not used here" % (path, number, match.group(1)))
    return found


def check_comments():
    found = []
    for path in c_files("src", "tests", "fuzz", "bench"):
        text = re.sub(
            r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'",
            lambda m: re.sub(r"[^\n]", " ", m.group(0)), read(path), flags=re.S,
        )
        for number, line in enumerate(text.split("\n"), 1):
            if "//" in line:
                found.append("%s:%d: a comment is /* like this */" % (path, number))
        if path.startswith("src") and not read(path).startswith("/*"):
            found.append("%s:1: a file opens with a comment that tells its role" % path)
    return found


def allowed_data():
    """(source, symbol), both may be patterns, of tools/mutable-data.txt."""
    for line in read("tools/mutable-data.txt").split("\n"):
        words = line.split(None, 2)
        if len(words) == 3 and not line.startswith("#"):
            yield words[0], words[1]


def object_symbols(build):
    """(source, symbol, class, section) of every symbol that our objects define."""
    for root, _, names in os.walk(os.path.join(build, "obj")):
        part = os.path.relpath(root, os.path.join(build, "obj"))
        folder = "src/py" if part.startswith("py-") else part
        if not folder.startswith("src/"):
            continue
        for name in sorted(names):
            source = "%s/%s.c" % (folder, name[:-2])
            if not name.endswith(".o") or not os.path.exists(os.path.join(TOP, source)):
                continue
            out = subprocess.run(
                ["nm", "--defined-only", "-f", "sysv", os.path.join(root, name)],
                capture_output=True, text=True, check=True,
            ).stdout
            for line in out.split("\n"):
                cells = [cell.strip() for cell in line.split("|")]
                if len(cells) == 7:
                    yield source, cells[0], cells[2], cells[6]


def check_data(build):
    """Also thread-local data counts: it is as hidden as any other."""
    if not os.path.isdir(os.path.join(build, "obj")):
        return None
    allowed, found, used = list(allowed_data()), set(), set()
    for source, symbol, _, section in object_symbols(build):
        mutable = re.match(r"\.(data|bss|tdata|tbss)\b", section) or section == "*COM*"
        if not mutable or section.startswith(".data.rel.ro"):
            continue
        symbol = symbol.split(".")[0]
        rows = [row for row in allowed if fnmatch(source, row[0]) and fnmatch(symbol, row[1])]
        used.update(rows)
        if not rows:
            found.add("%s: %s is mutable file-scope data; pass it as an argument, or say in "
                      "tools/mutable-data.txt why it must be" % (source, symbol))
    for row in set(allowed) - used:
        found.add("tools/mutable-data.txt: there is no %s %s any more" % row)
    return sorted(found)


def check_exports(build):
    """One symbol leaves each shared object; everything global begins with mw_."""
    found, seen = set(), False
    names = os.listdir(build) if os.path.isdir(build) else []
    for name in sorted(names):
        if not name.endswith(".so"):
            continue
        seen = True
        expected = {"wsgi_module"} if name == "mod_wsgi.so" else {"mw_py_runtime"}
        out = subprocess.run(["nm", "-D", "--defined-only", os.path.join(build, name)],
                             capture_output=True, text=True, check=True).stdout
        exported = {line.split()[-1] for line in out.split("\n") if line.strip()}
        if exported != expected:
            found.add("%s exports %s, not %s"
                      % (name, ", ".join(sorted(exported)) or "nothing", expected.pop()))
    for source, symbol, kind, _ in object_symbols(build):
        if kind.isupper() and not symbol.startswith(("mw_", "wsgi_module", "main")):
            found.add("%s: %s is global and has no mw_ prefix" % (source, symbol))
    return sorted(found) if seen else None


def check_docs(build):
    if not os.path.exists(os.path.join(build, "tools/options")):
        return None
    done = subprocess.run([sys.executable, os.path.join(TOP, "tools/docs.py"), build, "--check"],
                          capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().split("\n") if done.returncode else []


def report_sizes():
    found = []
    for path in c_files("src"):
        text = read(path)
        lines = strip(text).split("\n")
        if len(lines) > LIMITS["file"]:
            found.append("%s: %d lines" % (path, len(lines)))
        start = deepest = 0
        for number, line in enumerate(lines, 1):
            if line == "{":
                start, deepest = number, 0
                head, back = "", number - 2
                while back >= 0 and lines[back].strip() and not lines[back].endswith((";", "}")):
                    head = lines[back] + head
                    back -= 1
                name = (re.findall(r"(\w+)\s*\(", head) or ["?"])[0]
                depth = re.sub(r"\([^()]*\)", "", head[head.find("(") + 1:]).count(",") + 1
                if depth > LIMITS["parameters"]:
                    found.append("%s:%d: %s has %d parameters" % (path, number, name, depth))
            elif line == "}" and start:
                if number - start > LIMITS["function"]:
                    found.append("%s:%d: %s is %d lines long" % (path, start, name, number - start))
                if deepest > LIMITS["nesting"]:
                    found.append("%s:%d: %s nests %d deep" % (path, start, name, deepest))
                start = 0
            elif start and re.match(r"\s+(if|for|while|switch|do|\} else)\b.*\{$", line):
                deepest = max(deepest, (len(line) - len(line.lstrip())) // 4)
    return found


def main():
    build = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(TOP, "build")
    checks = [
        ("format", check_format()),
        ("layers", check_layers()),
        ("banned calls", check_banned()),
        ("comments", check_comments()),
        ("file-scope data", check_data(build)),
        ("exported symbols", check_exports(build)),
        ("generated docs", check_docs(build)),
    ]
    for line in report_sizes():
        print("note: " + line)
    failed = 0
    for name, found in checks:
        if found is None:
            print("lint: %s: skipped (nothing to look at, or no tool)" % name)
            continue
        for line in found:
            print(line)
        print("lint: %s: %s" % (name, "%d found" % len(found) if found else "ok"))
        failed += bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

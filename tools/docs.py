"""./dev docs: put the generated tables into the pages that mark a place for them.

A page has two lines, `<!-- options -->` and `<!-- end of options -->`; what stands between them is
replaced by the output of the program that the build made from tools/options.c.

usage: docs.py BUILD-DIRECTORY [--check]
"""

import glob
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BEGIN, END = "<!-- options -->\n", "<!-- end of options -->\n"


def replaced(text, table):
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return head + begin + "\n" + table + "\n" + end + tail if begin and end else text


def main():
    build, check = sys.argv[1], "--check" in sys.argv[2:]
    table = subprocess.run([os.path.join(build, "tools/options")], capture_output=True, text=True,
                           check=True).stdout
    stale = False
    for path in sorted(glob.glob(os.path.join(TOP, "docs/directives/*.md"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        wanted = replaced(text, table)
        if wanted == text:
            continue
        stale = True
        if check:
            print("%s: its table of options is not what the source says; ./dev docs"
                  % os.path.relpath(path, TOP))
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(wanted)
            print("dev: wrote %s" % os.path.relpath(path, TOP))
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())

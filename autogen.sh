#!/bin/sh
# autogen.sh: make ./configure from configure.ac; needed once after a checkout.
cd "$(dirname "$0")" || exit 1
command -v autoconf >/dev/null || {
    echo "autogen.sh: autoconf is not installed (apt-get install autoconf)." >&2
    exit 1
}
# Written aside and renamed, so that a build that runs at the same time never reads half a file.
autoconf -o "configure.new.$$" && chmod +x "configure.new.$$" && mv -f "configure.new.$$" configure
status=$?
rm -rf autom4te.cache "configure.new.$$"
exit $status

"""The first interpreter of a process starts; in later ones nothing can be imported."""

import os
import sys

if "MW_TEST_FIRST_STARTED" in os.environ:
    sys.path = None
os.putenv("MW_TEST_FIRST_STARTED", "1")

"""A program for a group with threads=0: writes down what happens to it. SERVICE says what it does."""

import os
import signal
import time

import mod_wsgi

FOLDER = os.environ["SERVICE_FOLDER"]
KIND = os.environ["SERVICE"]


def note(text):
    with open(os.path.join(FOLDER, f"service.{os.getpid()}"), "a", encoding="ascii") as f:
        f.write(text + "\n")


def on_usr2(number, frame):
    note(f"signal {number}")


BEGINS = f"begins {mod_wsgi.process_group} {mod_wsgi.threads_per_process}"


def stay():
    signal.signal(signal.SIGUSR2, on_usr2)
    try:
        note(BEGINS)
        while True:
            time.sleep(0.1)  # a signal just before a long one would wait for its end
    except SystemExit:
        note("told to leave")
        raise
    finally:
        note("ends")


if KIND == "stays":
    stay()
note(BEGINS)
if KIND == "exits":
    raise SystemExit(3)
if KIND == "raises":
    raise RuntimeError("the service does not work")
note("ends")

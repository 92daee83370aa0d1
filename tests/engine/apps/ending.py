"""Leaves work for the end of the process; each callable another kind."""

import atexit
import concurrent.futures
import sys
import threading
import time


def answer(start_response):
    start_response("200 OK", [])
    return [b"ok"]


def functions(environ, start_response):
    name = environ["mod_wsgi.application_group"]
    atexit.register(lambda: print("atexit in '%s'" % name))
    return answer(start_response)


def failing_function(environ, start_response):
    def fail():
        raise RuntimeError("atexit went wrong")
    atexit.register(lambda: print("the other one"))
    atexit.register(fail)
    return answer(start_response)


def short_thread(environ, start_response):
    def run():
        time.sleep(0.3)
        print("thread done")
    atexit.register(lambda: print("after the thread"))
    threading.Thread(target=run).start()
    return answer(start_response)


def endless_thread(environ, start_response):
    atexit.register(lambda: print("atexit all the same"))
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return answer(start_response)


def endless_function(environ, start_response):
    atexit.register(time.sleep, 3600)
    return answer(start_response)


def executor(environ, start_response):
    """Its threads end only if they are told to."""
    pool = concurrent.futures.ThreadPoolExecutor(4)
    assert pool.submit(lambda: 1).result() == 1
    environ["wsgi.errors"].write("pool\n")
    sys.pool = pool
    return answer(start_response)


def unfinished_line(environ, start_response):
    atexit.register(lambda: sys.stdout.write("no newline"))
    return answer(start_response)


def busy(environ, start_response):
    """Waits where a stack dump shows it."""
    def wait_in_this_function():
        time.sleep(1.5)
    wait_in_this_function()
    return answer(start_response)


def background(environ, start_response):
    def run():
        print("from a thread")
        raise KeyError("in a thread")
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answer(start_response)


def unfinished_lines_of_threads(environ, start_response):
    """One thread that has ended, one that waits for ever."""
    def run(number):
        print("thread", number, end=" on stdout")
        sys.stderr.write(f"thread {number} on stderr")
        written.release()
        if number:
            threading.Event().wait()
    written = threading.Semaphore(0)
    for number in range(2):
        threading.Thread(target=run, args=(number,), daemon=True).start()
        written.acquire()
    atexit.register(sys.stdout.write, "from atexit")
    return answer(start_response)

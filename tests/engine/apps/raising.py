"""Exceptions of every shape; what the log shows of them is held against what traceback itself prints."""

import sys
import traceback


def innermost(error):
    marker = "a local of the innermost function"
    raise error


def middle(error):
    innermost(error)


def plain(environ, start_response):
    middle(KeyError("plain"))


def chained(environ, start_response):
    try:
        middle(KeyError("the cause"))
    except KeyError as e:
        raise ValueError("the effect") from e


def in_context(environ, start_response):
    try:
        middle(KeyError("the context"))
    except KeyError:
        middle(ValueError("while handling"))


def without_context(environ, start_response):
    try:
        middle(KeyError("hidden"))
    except KeyError:
        raise ValueError("shown") from None


def in_a_circle(environ, start_response):
    first, second = KeyError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    raise first


def grouped(environ, start_response):
    errors = []
    for error in KeyError("one of them"), ValueError("another"):
        try:
            middle(error)
        except Exception as e:
            errors.append(e)
    errors.append(ExceptionGroup("inner group", [OSError("nested")]))
    raise ExceptionGroup("outer group", errors)


def base_group(environ, start_response):
    raise BaseExceptionGroup("of the worst", [KeyboardInterrupt(), SystemExit(1)])


def noted(environ, start_response):
    error = KeyError("noted")
    error.add_note("this is the note\nof two lines")
    raise error


def recursive(environ, start_response):
    recursive(environ, start_response)


def long(environ, start_response):
    raise ValueError("Q" * 100000 + " end of the text")


def many_lines(environ, start_response):
    raise ValueError("first\n\nthird\r\nfourth\0nul")


def not_compiled(environ, start_response):
    exec("def f(:\n  pass")


class Needs(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def needs_arguments(environ, start_response):
    raise Needs


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text of it")

    __repr__ = __str__


def no_text(environ, start_response):
    raise NoText


class Odd(Exception):
    __module__ = 42


def odd_module(environ, start_response):
    raise Odd("odd")


class Own(BaseException):
    pass


def own_base(environ, start_response):
    raise Own("of its own")


def stops(environ, start_response):
    raise StopIteration("stop")


def generator_exits(environ, start_response):
    raise GeneratorExit("leave")


def exits_with_text(environ, start_response):
    sys.exit("a last word")


def exits_in_generator(environ, start_response):
    start_response("200 OK", [])
    yield b"block"
    sys.exit(4)


def interrupted_in_generator(environ, start_response):
    start_response("200 OK", [])
    yield b"block"
    raise KeyboardInterrupt


class Closing:
    def __init__(self, error):
        self.error = error

    def __iter__(self):
        return iter([b"block"])

    def close(self):
        raise self.error


def exits_in_close(environ, start_response):
    start_response("200 OK", [])
    return Closing(SystemExit(5))


def interrupted_in_close(environ, start_response):
    start_response("200 OK", [])
    return Closing(KeyboardInterrupt())


def fails_in_iter(environ, start_response):
    class Bad:
        def __iter__(self):
            innermost(LookupError("in __iter__"))
    start_response("200 OK", [])
    return Bad()


def exits_in_thread(environ, start_response):
    import threading
    thread = threading.Thread(target=sys.exit, args=(6,))
    thread.start()
    thread.join()
    start_response("200 OK", [])
    return [b"on its way"]


def expected(environ, start_response):
    """What traceback prints of another callable, called from here: without this frame."""
    try:
        globals()[environ["QUERY_STRING"]](environ, start_response)
    except BaseException as e:
        e.__traceback__ = e.__traceback__.tb_next
        text = "".join(traceback.format_exception(type(e), e, e.__traceback__))
        start_response("200 OK", [])
        return [text.encode("utf-8", "backslashreplace")]

"""Answers as the query string says: a plan in JSON, made by the test.

    status, headers    given to start_response as they are
    blocks             sizes of the blocks of the body; bytes of a pattern that a test can check
    way                list, generator, write (blocks by write), mixed (first by write, others iterated)
    read               bytes of the request body to read first; -1: all
    fail               raise before block n; -1: at start, before start_response
    text               the body, instead of blocks
"""

import json
from urllib.parse import unquote


def pattern(at, size):
    """size bytes of the endless pattern, from position at."""
    unit = b"".join(b"%07x\n" % n for n in range(at // 8, (at + size) // 8 + 1))
    return unit[at % 8:at % 8 + size]


def blocks_of(plan):
    if "text" in plan:
        return [plan["text"].encode("latin-1")]
    out, at = [], 0
    for size in plan.get("blocks", [3]):
        out.append(pattern(at, size))
        at += size
    return out


def guarded(plan, blocks):
    for n, block in enumerate(blocks):
        if plan.get("fail") == n:
            raise RuntimeError("marker-answer")
        yield block
    if plan.get("fail") == len(blocks):
        raise RuntimeError("marker-answer")


def application(environ, start_response):
    plan = json.loads(unquote(environ["QUERY_STRING"]))
    if plan.get("read"):
        environ["wsgi.input"].read(plan["read"])
    if plan.get("fail") == -1:
        raise RuntimeError("marker-answer")
    write = start_response(plan.get("status", "200 OK"), [tuple(pair) for pair in plan.get("headers", [])])
    blocks = guarded(plan, blocks_of(plan))
    way = plan.get("way", "list")
    if way == "generator":
        return blocks
    if way == "write":
        for block in blocks:
            write(block)
        return []
    if way == "mixed":
        for block in blocks:
            write(block)
            break
        return blocks
    return list(blocks)

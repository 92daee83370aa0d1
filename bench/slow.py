"""Slow clients: each sends, or reads, so many bytes a second, for as long as standard input is open.

usage: slow.py upload|download PORT PATH CLIENTS BYTES RATE

Client number n of N has n/N of its bytes behind it at once, as if all had begun at different times; who is done begins
anew. Writes "ready" when all have begun. At the end a line of JSON: clients that were done, and what went wrong.
"""

import json
import selectors
import socket
import sys
import time

TICK = 0.002
TURNS = 50  # a client moves in one tick of so many: not all at once, as real ones do not
RECEIVE_BUFFER = 16384  # or else most of an answer would lie in the kernel


class Slow:
    """One client. A socket may take or give less than is due; it gets the rest at the next tick."""

    def __init__(self, kind, port, path, total, rate, ahead):
        self.kind, self.port, self.path, self.total, self.rate = kind, port, path, total, rate
        self.done = 0
        self.problems = []
        self.begin(ahead)

    def begin(self, ahead):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", self.port))
        self.moved, self.head, self.ahead, self.since = 0, b"", ahead, time.monotonic()
        method, more = ("POST", "Content-Length: %d\r\n" % self.total) if self.kind == "upload" else ("GET", "")
        self.request = ("%s %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n"
                        % (method, self.path, more)).encode()

    def step(self):
        due = self.ahead + int((time.monotonic() - self.since) * self.rate) - self.moved
        try:
            if self.request:  # until it is connected: smaller than any buffer
                self.socket.send(self.request)
                self.request = b""
            if self.kind == "upload":
                self.send(min(due, self.total - self.moved))
            else:
                self.receive(due)
        except BlockingIOError:
            pass
        except OSError as error:
            self.again(str(error))

    def send(self, due):
        while due > 0:
            sent = self.socket.send(b"x" * min(due, 65536))
            self.moved += sent
            due -= sent
        answer = self.socket.recv(4096)
        if self.moved < self.total or not answer.startswith(b"HTTP/1.1 200"):
            self.again("answered early or badly: %r" % answer[:40])
        else:
            self.again()

    def receive(self, due):
        while due > 0:
            data = self.socket.recv(min(due, 65536))
            if not data:
                whole = self.moved - self.head.find(b"\r\n\r\n") - 4 == self.total
                return self.again("" if whole else "ended after %d bytes" % self.moved)
            if not self.moved and not data.startswith(b"HTTP/1.1 200"):
                return self.again("bad answer: %r" % data[:40])
            if self.moved < 4096:
                self.head += data[:4096]
            self.moved += len(data)
            due -= len(data)

    def again(self, problem=""):
        self.done += not problem
        self.problems += [problem] if problem else []
        self.socket.close()
        self.begin(0)


def main():
    kind, port, path, count, total, rate = sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
    clients = [Slow(kind, port, path, total, rate, total * n // count) for n in range(count)]
    ready, turn, watch = False, 0, selectors.DefaultSelector()
    watch.register(sys.stdin, selectors.EVENT_READ)
    next_tick = time.monotonic()
    while not watch.select(max(0, next_tick - time.monotonic())):
        next_tick = max(next_tick + TICK, time.monotonic())
        turn = (turn + 1) % TURNS
        for client in clients[turn::TURNS]:
            client.step()
        if not ready and all(client.moved or client.done or client.problems for client in clients):
            ready = True
            print("ready", flush=True)
    problems = [problem for client in clients for problem in client.problems]
    print(json.dumps({"done": sum(client.done for client in clients), "problems": problems}))


if __name__ == "__main__":
    main()

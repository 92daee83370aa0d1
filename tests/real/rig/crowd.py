"""Many clients at once."""

import threading


def at_once(count, client):
    """Run client(number) in that many threads; fail with what any of them raised."""
    wrong = []

    def one(number):
        try:
            client(number)
        except Exception as e:  # raised again by the thread that started this one
            wrong.append(f"client {number}: {e!r}")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, "\n".join(wrong)

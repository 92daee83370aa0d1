"""Arrivals of requests, and how long they would take with one perfect queue before so many servers. Pure."""

import heapq
import random


def arrivals(rate, seconds, seed):
    """Times in seconds of a Poisson process."""
    chance, times, now = random.Random(seed), [], 0.0
    while True:
        now += chance.expovariate(rate)
        if now >= seconds:
            return times
        times.append(now)


def service_times(count, low, high, seed):
    """In seconds, spread evenly, whole milliseconds."""
    chance = random.Random(seed)
    return [chance.randint(round(low * 1000), round(high * 1000)) / 1000 for _ in range(count)]


def single_queue(times, services, servers):
    """The latency of each request: first come, first served, by whichever server is free first."""
    free = [0.0] * servers
    latencies = []
    for arrival, service in zip(times, services):
        done = max(arrival, heapq.heappop(free)) + service
        heapq.heappush(free, done)
        latencies.append(done - arrival)
    return latencies

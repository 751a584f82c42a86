#!/usr/bin/env python3
"""Clients of a server: load.py URL CLIENTS. Each asks for one stream after the other, with a seed of
its own and over one connection while the server keeps it, until standard input ends; the streams
under way then are read to their end. A line per stream: "ok", or "failed REASON" (no answer, another
status, an error event, a stream without its end, other text than the first one of that seed), after
which that client ends."""
import http.client
import json
import sys
import threading
import urllib.parse

TOKENS = 300


class Client(threading.Thread):
    def __init__(self, url, seed, stop):
        super().__init__(daemon=True)
        self._host = urllib.parse.urlsplit(url).netloc
        self._seed = seed
        self._stop_asked = stop
        self._expected = None

    def run(self):
        connection = http.client.HTTPConnection(self._host, timeout=120)
        while not self._stop_asked.is_set():
            try:
                text = self._stream(connection)
                if self._expected is None:
                    self._expected = text
                say("ok" if text == self._expected else f"failed other text for seed {self._seed}")
            except (OSError, ValueError, http.client.HTTPException) as error:
                say(f"failed {type(error).__name__}: {error}")
                return

    def _stream(self, connection):
        body = {"prompt": "Once upon a time", "max_tokens": TOKENS, "temperature": 1, "seed": self._seed,
                "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}: {answer.read(1000)}")
        pieces = []
        done = False
        for line in answer:
            if line.startswith(b"data: [DONE]"):
                done = True
            elif line.startswith(b"data: "):
                event = json.loads(line[6:])
                if "error" in event:
                    raise ValueError(f"an error event: {event}")
                pieces.extend(choice["text"] for choice in event["choices"])
        if not done:
            raise ValueError(f"the stream ended early, after {len(pieces)} events")
        return "".join(pieces)


lock = threading.Lock()


def say(line):
    with lock:
        print(line, flush=True)


def main():
    stop = threading.Event()
    clients = [Client(sys.argv[1], seed, stop) for seed in range(int(sys.argv[2]))]
    for client in clients:
        client.start()
    sys.stdin.read()
    stop.set()
    for client in clients:
        client.join()


if __name__ == "__main__":
    main()

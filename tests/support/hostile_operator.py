#!/usr/bin/env python3
"""An operator's tool gone mad, for tests: hostile_operator.py ABI_HEADER SOCKET SEED ROUNDS

Speaks to bitnetd's control socket as no tool would: packets and bodies of random sizes, headers that
lie, descriptors that nobody asked for, questions whose answers it does not read, orders of nonsense,
crowds, connections that are half closed. It never asks for what an operator may have (drain, upgrade,
a worker's restart, a model's removal). Every round begins with a good question that must be answered. At
the end a line of JSON tells how often each kind of attack was made.
"""
import array
import json
import random
import re
import socket
import struct
import sys
import time

HEADER = struct.Struct("<IHHII")  # MessageHeader: version, type, descriptors, payload bytes, reserved
COMMAND = struct.Struct("<IIQ64s")  # CommandMessage, before its order
ORDER = struct.Struct("<QIIIIfI128s512s1280s")  # OrderMessage
INSPECT, COMMAND_TYPE, COMMAND_END = 48, 51, 53
STATUS, RELOAD, RESTART_WORKER, LOG_LEVEL, ORDER_COMMAND, ROLLOUTS = 1, 3, 5, 6, 7, 8
WATCH = 1
REMOVE = 4  # OrderKind
TYPES_END = 60  # a few more than there are
PAYLOAD_MAX = 60 * 1024
PATIENCE_S = 60
CROWD = 40


class Operator:
    def __init__(self, version, path, seed):
        self.version, self.path, self.rng = version, path, random.Random(seed)
        # Of this program: what is sent with the packets.
        self.spare = [socket.socketpair() for _ in range(130)]

    def connect(self):
        """A connection; the server may close it at once when there are many."""
        end = time.monotonic() + PATIENCE_S
        while True:
            one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            one.settimeout(PATIENCE_S)
            try:
                one.connect(self.path)
                return one
            except BlockingIOError:  # its backlog is full
                one.close()
                assert time.monotonic() < end, "nobody accepts"

    def packet(self, kind, body=b"", fds=0, **lies):
        field = {"version": self.version, "fds": fds, "bytes": len(body), "reserved": 0, **lies}
        return HEADER.pack(field["version"], kind, field["fds"], field["bytes"], field["reserved"]) + body

    def send(self, to, packet, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            to.sendmsg([packet], rights, socket.MSG_DONTWAIT)
            return True
        except (BlockingIOError, ConnectionError):
            return False

    def bytes(self, most):
        """Random, zero, all ones or text without an end; often short."""
        size = self.rng.choice([self.rng.randrange(64), self.rng.randrange(most + 1), most])
        return self.rng.choice([self.rng.randbytes(size), bytes(size), b"\xff" * size, b"%n" * (size // 2)])

    def field(self, size):
        return self.bytes(size).ljust(size, self.rng.choice([b"\0", b"A", b"\x1b"]))

    def command(self, number, order=None, argument=0, text=b"", flags=0):
        return COMMAND.pack(number, flags, argument, text) + (order or bytes(ORDER.size))

    def order(self):
        rng = self.rng
        ratio = rng.choice([0.0, 1.0, -1.0, 2.0, float("nan"), float("inf"), 1e-40])
        model = rng.choice([b"demo", b"new", b"../../etc/passwd", self.field(128)])
        path = rng.choice([b"", b"/", b"/dev/null", b"/nowhere\n/\x1b[2J", b"a" * 512, self.field(512)])
        word = lambda: rng.choice([0, 1, 2, 3, 5, 2**31, 2**32 - 1])
        kind = REMOVE if model != b"demo" and rng.random() < 0.1 else word()
        return ORDER.pack(rng.getrandbits(64), kind, word(), word(), word(), ratio, word(), model, path,
                          self.field(1280))

    # --- attacks; each has a connection of its own ---------------------------------------------------

    def random_body(self, to):
        body = self.bytes(PAYLOAD_MAX)
        if self.rng.random() < 0.5:
            body = self.field(self.rng.choice([0, 4, 8, 16, 40, 256, 792, COMMAND.size + ORDER.size]))
        for _ in range(self.rng.randrange(1, 8)):
            self.send(to, self.packet(self.rng.randrange(TYPES_END), body))

    def lying_header(self, to):
        lie = self.rng.choice(["version", "fds", "bytes", "reserved"])
        most = 0xFFFF if lie == "fds" else 0xFFFFFFFF
        packet = self.packet(COMMAND_TYPE, self.command(STATUS), **{lie: self.rng.randrange(1, most)})
        self.send(to, packet)

    def wrong_size(self, to):
        whole = self.packet(COMMAND_TYPE, self.bytes(PAYLOAD_MAX) + bytes(2 * PAYLOAD_MAX))
        self.send(to, whole[:self.rng.choice([0, 1, 15, 16, PAYLOAD_MAX + 17, len(whole)])])

    def descriptors(self, to):
        count = self.rng.choice([1, 2, 16, 17, 100, 250])
        fds = [one.fileno() for pair in self.spare for one in pair][:count]
        if self.rng.random() < 0.3:
            fds[0] = to.fileno()  # into itself
        said = self.rng.choice([0, min(count, 16), count])
        self.send(to, self.packet(self.rng.choice([INSPECT, COMMAND_TYPE]), self.command(STATUS), said), fds)

    def half_closed(self, to):
        self.send(to, self.packet(COMMAND_TYPE, self.command(STATUS)))
        to.shutdown(self.rng.choice([socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR]))
        self.send(to, self.packet(INSPECT))

    def unread_answers(self, to):
        """Asks until the server has had enough."""
        question = self.rng.choice([self.packet(INSPECT), self.packet(COMMAND_TYPE, self.command(STATUS))])
        end = time.monotonic() + PATIENCE_S
        to.setblocking(False)
        while time.monotonic() < end:
            try:
                to.sendmsg([question])
            except BlockingIOError:
                time.sleep(0.001)
            except ConnectionError:
                return
        raise AssertionError("a tool that does not read was never sent away")

    def chatter(self, to):
        for _ in range(30):
            self.send(to, self.packet(COMMAND_TYPE, self.command(ROLLOUTS, argument=self.rng.getrandbits(64))))

    def nonsense_command(self, to):
        number = self.rng.choice([0, 9, 77, 2**32 - 1, RELOAD, ROLLOUTS, RESTART_WORKER, LOG_LEVEL, ORDER_COMMAND])
        argument = self.rng.choice([1, 2**31, 2**32, 2**64 - 1])
        if number == LOG_LEVEL:
            text = self.rng.choice([b"", b"all", self.field(64).replace(b"debug", b"")])
        else:
            text = self.field(64)
        body = self.command(number, self.order(), argument, text, self.rng.choice([0, WATCH, 2**32 - 1]))
        self.send(to, self.packet(COMMAND_TYPE, body))
        if self.rng.random() < 0.7:
            self.answer(to)

    def crowd(self, to):
        others = [self.connect() for _ in range(CROWD)]
        for one in others:
            if self.rng.random() < 0.5:
                self.send(one, self.packet(COMMAND_TYPE, self.command(STATUS)))
        for one in others:
            one.close()

    # --- a good question -----------------------------------------------------------------------------

    def answer(self, to):
        """The number of packets up to the end of the answer; None when there was no end."""
        for count in range(1, 10_000):
            try:
                packet = to.recv(HEADER.size + PAYLOAD_MAX)
            except ConnectionError:
                return None
            if not packet:
                return None
            if HEADER.unpack_from(packet)[1] == COMMAND_END:
                return count
        return None

    def ask(self):
        """Others of ours may still be there to be ended: then this one is refused, for a while."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with self.connect() as one:
                sent = self.send(one, self.packet(COMMAND_TYPE, self.command(STATUS)))
                if sent and self.answer(one) is not None:
                    return
        raise AssertionError("no answer to a good question")


def main():
    header, path, seed, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    version = int(re.search(r"kControlAbiVersion = (\d+);", open(header).read())[1])
    operator = Operator(version, path, seed)
    attacks = [operator.random_body, operator.lying_header, operator.wrong_size, operator.descriptors,
               operator.half_closed, operator.chatter, operator.nonsense_command, operator.crowd,
               operator.unread_answers]
    made = {attack.__name__: 0 for attack in attacks}
    # The last two cost more than all others.
    weights = [8] * (len(attacks) - 2) + [2, 1]
    for index in range(rounds):
        operator.ask()
        # Each of them in any case, then as it comes.
        attack = attacks[index] if index < len(attacks) else operator.rng.choices(attacks, weights)[0]
        made[attack.__name__] += 1
        with operator.connect() as connection:
            attack(connection)
    operator.ask()
    print(json.dumps(made))


main()

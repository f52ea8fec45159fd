"""The session, cut at every frame; no daemon is needed."""

from __future__ import annotations

import unittest

from limpet._message import Flags, Message, from_proto, to_proto
from limpet._proto import attach_pb2 as pb
from limpet._proto import link_pb2, message_pb2
from limpet._session import Code, Event, Lane, Session, Verdict


class Daemon:
    """The daemon's side of one session, which echoes what is sent, and has a result for each tag."""

    def __init__(self, window: int = 4096) -> None:
        self.window = window
        self.taken: list[str] = []  # the names of what was sent, in order
        self.received = 0
        self.events: list[message_pb2.Message | pb.Result] = []  # numbered from 1
        self.sent = self.acked = 0

    def welcome(self, hello: pb.AttachHello) -> pb.AttachResponse:
        assert self.acked < hello.expected_sequence <= self.sent + 1 or hello.expected_sequence == self.acked + 1
        self.sent = hello.expected_sequence - 1
        return pb.AttachResponse(welcome=pb.AttachWelcome(
            protocol_version=1, session_id=b"s" * 16, instance_id=b"i" * 16, expected_sequence=self.received + 1, ksock=7,
            window_messages=self.window, window_bytes=1 << 20, grace_ms=10000,
        ))

    def take(self, frame: pb.AttachRequest) -> None:
        kind = frame.WhichOneof("kind")
        if kind == "ack":
            self.acked = max(self.acked, frame.ack.sequence)
        if kind != "batch":
            return
        batch = frame.batch
        self.acked = max(self.acked, batch.ack)
        assert batch.first_sequence == self.received + 1, (batch.first_sequence, self.received)
        all: list[tuple[int, int, object]] = [(i, 1, m) for i, m in enumerate(batch.messages)]
        all += [(o.after, 0, o) for o in batch.operations]
        for _, _, x in sorted(all, key=lambda x: x[:2]):
            self.received += 1
            m = x.message if isinstance(x, pb.Operation) else x
            assert isinstance(m, message_pb2.Message)
            self.taken.append(m.name)
            self.events.append(message_pb2.Message(name="$.Echo." + m.name[2:]))
            if isinstance(x, pb.Operation) and x.tag:
                self.events.append(pb.Result(tag=x.tag))

    def next(self) -> pb.AttachResponse | None:
        batch = pb.EventBatch(first_sequence=self.sent + 1, ack=self.received)
        for e in self.events[self.sent : self.sent + 3]:
            if isinstance(e, pb.Result):
                batch.results.add().CopyFrom(e)
                batch.results[-1].after = len(batch.messages)
            else:
                batch.messages.append(e)
            self.sent += 1
        return pb.AttachResponse(batch=batch) if batch.messages or batch.results else None


class Run:
    """A session and a daemon, with a stream between them that is cut before or after one frame."""

    def __init__(self, cut: int = -1, deliver: bool = False, window: int = 4096) -> None:
        self.session, self.daemon = Session(pb.KSOCK_MODE_BOTH), Daemon(window)
        self.cut, self.deliver, self.frames, self.now = cut, deliver, 0, 0.0
        self.came: list[str] = []
        self.undecided: list[Event] = []  # a program takes its time
        self.attach()

    def attach(self) -> None:
        self.session.detach()
        hello = self.session.greeting()
        if self.passes():
            welcome = self.daemon.welcome(hello.hello)
            if self.passes():
                self.session.welcome(self.now, welcome)
                return
        self.attach()

    def passes(self) -> bool:
        self.frames += 1
        return self.frames - 1 != self.cut

    def put(self, i: int) -> None:
        op = pb.Operation(action=pb.ACTION_SEND, wait=True, tag=i if i % 3 == 0 else 0)
        self.session.put(op, message=Message(f"$.N{i}", b"x" * i), now=self.now)

    def step(self) -> bool:
        """Carries one frame each way; returns False when there is none."""
        self.now += 0.01
        some = False
        out, _, _ = self.session.next(self.now)
        if out is not None:
            some = True
            whole = self.passes()
            if whole or self.deliver:
                self.daemon.take(pb.AttachRequest.FromString(out.SerializeToString()))
            if not whole:
                self.attach()
                return True
        back = self.daemon.next()
        if back is not None:
            some = True
            whole = self.passes()
            if whole or self.deliver:
                for e in self.session.receive(self.now, back):
                    self.came.append(e.message.name if e.message else f"result {e.result.tag}")  # type: ignore[union-attr]
                    self.undecided.append(e)
            if not whole:
                self.attach()
        if self.undecided and (not some or len(self.undecided) > 4):
            self.session.decided(self.now, self.undecided.pop(0))
            return True
        return some

    def play(self) -> None:
        for i in range(1, 13):
            self.put(i)
            if i % 4 == 0:
                self.step()
        while self.step():
            pass


class Cuts(unittest.TestCase):
    def test_every_frame(self) -> None:
        whole = Run()
        whole.play()
        self.assertEqual(whole.daemon.taken, [f"$.N{i}" for i in range(1, 13)])
        self.assertEqual(len(whole.came), 16)
        self.assertTrue(whole.session.idle())
        self.assertGreater(whole.frames, 10)
        for cut in range(whole.frames + 1):
            for deliver in (False, True):
                with self.subTest(cut=cut, deliver=deliver):
                    run = Run(cut, deliver)
                    run.play()
                    self.assertEqual(run.daemon.taken, whole.daemon.taken)
                    self.assertEqual(run.came, whole.came)
                    self.assertTrue(run.session.idle())
                    self.assertEqual(run.daemon.acked, len(run.daemon.events))


class Rules(unittest.TestCase):
    def test_window(self) -> None:
        run = Run(window=4)
        for i in range(1, 5):
            self.assertTrue(run.session.room())
            run.put(i)
        self.assertFalse(run.session.room())
        run.session.put(pb.Operation(action=pb.ACTION_CANCEL, value=1), Lane.CONTROL)
        self.assertFalse(run.session.room())
        run.session.next(0)
        run.session.receive(0, pb.AttachResponse(ack=link_pb2.Ack(sequence=2)))
        self.assertTrue(run.session.room())

    def test_a_large_message_goes_alone(self) -> None:
        run = Run()
        for size in (10, 40000, 10):
            run.session.put(pb.Operation(action=pb.ACTION_SEND), message=Message("$.A", b"x" * size))
        sizes = []
        while (frame := run.session.next(0.001)[0]) is not None:
            sizes.append(len(frame.batch.messages))
        self.assertEqual(sizes, [1, 1, 1])

    def test_deadline_is_what_is_left(self) -> None:
        run = Run()
        run.session.put(pb.Operation(action=pb.ACTION_SEND), message=Message("$.A", expires_in=2.0), now=0.0)
        first = run.session.next(0.5)[0]
        run.attach()
        second = run.session.next(1.999999)[0]
        assert first and second
        self.assertEqual(first.batch.messages[0].expires_in_ms, 1500)
        self.assertEqual(second.batch.messages[0].expires_in_ms, 1)

    def test_ping_and_ack(self) -> None:
        run = Run()
        frame, again, over = run.session.next(0.0)
        self.assertEqual((frame, again, over), (None, 3.0, False))
        ping = run.session.next(3.0)[0]
        self.assertEqual(ping and ping.WhichOneof("kind"), "ping")
        events = run.session.receive(3.0, pb.AttachResponse(batch=pb.EventBatch(first_sequence=1, messages=[message_pb2.Message(name="$.A")] * 2)))
        run.session.decided(3.0, events[1])  # in any order
        self.assertIsNone(run.session.next(3.1)[0])
        run.session.decided(3.1, events[0])
        self.assertIsNone(run.session.next(3.1)[0])  # it may ride on a batch
        ack = run.session.next(3.11)[0]
        self.assertEqual(ack and ack.ack.sequence, 2)
        self.assertIsNone(run.session.next(3.2)[0])

    def test_bad_frames(self) -> None:
        one = [message_pb2.Message(name="$.A")]
        for what, frame in {
            "empty": pb.AttachResponse(batch=pb.EventBatch(first_sequence=1)),
            "gap": pb.AttachResponse(batch=pb.EventBatch(first_sequence=2, messages=one)),
            "many": pb.AttachResponse(batch=pb.EventBatch(first_sequence=1, messages=one * 257)),
            "after": pb.AttachResponse(batch=pb.EventBatch(first_sequence=1, messages=one, results=[pb.Result(after=2)])),
            "order": pb.AttachResponse(batch=pb.EventBatch(first_sequence=1, messages=one, results=[pb.Result(after=1), pb.Result()])),
            "ack": pb.AttachResponse(ack=link_pb2.Ack(sequence=1)),
            "ping": pb.AttachResponse(ping=link_pb2.Ping(received_sequence=1)),
            "welcome": Daemon().welcome(pb.AttachHello(expected_sequence=1)),
        }.items():
            with self.subTest(what), self.assertRaises(Verdict) as raised:
                Run().session.receive(0, frame)
            self.assertEqual(raised.exception.code, Code.PROTOCOL)
            self.assertFalse(raised.exception.remote)
        self.assertEqual(Run().session.receive(0, pb.AttachResponse()), [])  # of a kind that is not known

    def test_bad_welcomes(self) -> None:
        for what, change in {
            "version": {"protocol_version": 2},
            "session": {"session_id": b"x"},
            "another session": {"session_id": b"t" * 16},
            "window": {"window_messages": 0},
            "expected what was never sent": {"expected_sequence": 2},
            "expected nothing": {"expected_sequence": 0},
        }.items():
            with self.subTest(what), self.assertRaises(Verdict):
                run = Run()
                welcome = run.daemon.welcome(pb.AttachHello(expected_sequence=1))
                for field, value in change.items():
                    setattr(welcome.welcome, field, value)
                run.session.welcome(0, welcome)
        with self.assertRaises(Verdict) as raised:
            Session(3).welcome(0, pb.AttachResponse(error=link_pb2.Error(code=link_pb2.ERROR_CODE_EXPIRED, message="it is over")))
        self.assertTrue(raised.exception.remote and raised.exception.final)

    def test_memory_is_bounded(self) -> None:
        run = Run()
        big = [message_pb2.Message(name="$.A", data=bytes(1 << 19))]
        with self.assertRaises(Verdict):
            for i in range(100):
                run.session.receive(0, pb.AttachResponse(batch=pb.EventBatch(first_sequence=i + 1, messages=big)))
        self.assertLess(i, 10)

    def test_the_end(self) -> None:
        run = Run()
        run.put(1)
        run.session.end(Verdict(Code.PROTOCOL, "no"))
        last, _, over = run.session.next(0)
        self.assertEqual((last and last.error.code, over), (Code.PROTOCOL, False))
        self.assertEqual(run.session.next(0)[0::2], (None, True))


class Messages(unittest.TestCase):
    def test_reply_and_dialogue(self) -> None:
        q = Message("$.Q", id=(1, 2), from_=3, flags=Flags(0x10003))  # type: ignore[arg-type]
        self.assertTrue(q.is_request and q.wants_us_to_reply and not q.is_reply)
        a = q.reply("ja")
        self.assertEqual((a.name, a.text, a.to, a.in_reply_to, a.kind), ("$.Q", "ja", 3, (1, 2), "reply"))
        more = Message.request("$.Q", replier=Message("$.Q", from_=9, orig_from=(2, 4)))  # type: ignore[arg-type]
        self.assertEqual((more.to, more.final_to, more.kind), (9, (2, 4), "stateful request"))
        self.assertNotIn("secret", str(Message("$.A", b"secret")))

    def test_trace(self) -> None:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        wire = to_proto(Message("$.A", traceparent=parent))
        self.assertEqual((len(wire.trace_context), from_proto(wire).traceparent), (25, parent))
        self.assertEqual(from_proto(message_pb2.Message(name="$.A", trace_context=b"short")).traceparent, "")
        for bad in ("x", parent.upper(), parent + "0", "01" + parent[2:]):
            with self.subTest(bad), self.assertRaises(ValueError):
                to_proto(Message("$.A", traceparent=bad))


if __name__ == "__main__":
    unittest.main()

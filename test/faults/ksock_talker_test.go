package faults

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A talker announces and asks.
type talker struct {
	*ksockLife

	mu       sync.Mutex
	open     map[string]kbusdev.MsgID // requests without a reply, their ids as far as they are known
	early    map[kbusdev.MsgID]bool   // replies of a bus to requests whose ids are not known
	posted   int                      // requests whose ids will not be known, less those that a replier answered
	partners []*kbusdev.Message       // replies whose repliers may be asked again
	news     chan struct{}
}

// talk says things until it is told to hush, waits until all its requests have replies, and
// then until it is told to end.
func (l *ksockLife) talk() error {
	t := &talker{
		ksockLife: l, open: make(map[string]kbusdev.MsgID), early: make(map[kbusdev.MsgID]bool), news: make(chan struct{}, 1),
	}
	ctx, stop := l.untilFinish()
	defer stop()
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		if readErr = l.read(ctx, t.take); readErr != nil {
			l.isOver()
		}
	})
	err := t.say()
	if err == nil {
		err = t.settle()
	}
	if err == nil {
		err = t.lastWords(ctx)
	}
	if errors.Is(err, errRetired) {
		_ = l.retire()
	}
	if err != nil {
		l.isOver()
	}
	reading.Wait() // of a Ksock that is over it is not long
	if err == nil {
		err = readErr
	}
	return err
}

// say talks until it is told to hush.
func (t *talker) say() error {
	loud := t.Loud
	for !t.isHushed() {
		if t.retires(t.r, 50) {
			return errRetired
		}
		var err error
		switch t.r.IntN(10) {
		case 0, 1, 2, 3:
			n, most := 1+t.r.IntN(8), 300
			if loud && t.r.IntN(10) == 0 {
				n, most, loud = 1000, 3000, false // more bytes than the window has
			}
			for range n {
				if err = t.announce(false, most); err != nil {
					return err
				}
			}
		case 4, 5:
			err = t.announce(true, 300)
		case 6:
			err = t.ask(false)
		case 7:
			err = t.ask(true)
		default:
			err = t.flush()
		}
		if err != nil {
			return err
		}
		t.pause(time.Duration(t.r.IntN(60)) * time.Millisecond)
	}
	return nil
}

// settle returns when every request has a reply.
func (t *talker) settle() error {
	if err := t.flush(); err != nil {
		return err
	}
	for {
		t.mu.Lock()
		open := len(t.open) + t.posted - len(t.early)
		t.mu.Unlock()
		if open == 0 {
			t.note(note{What: isQuiet})
			return nil
		}
		select {
		case <-t.news:
		case <-t.over:
			return t.flush() // says why
		}
	}
}

// lastWords says something until ctx ends. Who hears any of it has heard all before it that
// it will hear.
func (t *talker) lastWords(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := t.post(&kbusdev.Message{Name: newsPrefix + t.nextKey()}, true); err != nil {
			return err
		}
		t.pause(50 * time.Millisecond)
	}
	return nil
}

// announce announces something with less than most bytes of data.
func (t *talker) announce(send bool, most int) error {
	m := &kbusdev.Message{Name: newsPrefix + t.nextKey(), Data: make([]byte, t.r.IntN(most))}
	switch t.r.IntN(10) {
	case 0:
		m.Flags = kbusdev.AllOrWait
	case 1:
		m.Flags = kbusdev.AllOrFail
	}
	return t.post(m, send)
}

// post posts an announcement, or sends it.
func (t *talker) post(m *kbusdev.Message, send bool) error {
	key := keyOf(m.Name)
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	limited := send && t.r.IntN(3) == 0
	if limited {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(t.r.IntN(40))*time.Millisecond)
	}
	defer cancel()
	t.note(note{What: willPost, Key: key, Word: m.Flags.String(), N: one(limited)})
	if send {
		return t.send(ctx, m)
	}
	err := t.k.Post(context.Background(), m)
	if err != nil {
		t.note(note{What: wasNotPosted, Key: key})
	}
	return err
}

// send sends a message and notes what the bus says. The error is why the Ksock is over.
func (t *talker) send(ctx context.Context, m *kbusdev.Message) error {
	id, err := t.k.Send(ctx, m)
	switch {
	case err == nil:
		t.note(note{What: wasTaken, Key: keyOf(m.Name), ID: id})
		if m.IsRequest() {
			t.taken(keyOf(m.Name), id)
		}
		return nil
	case errors.Is(err, net.ErrClosed):
		return err
	case errnoOf(err) == "" && ctx.Err() != nil:
		t.note(note{What: wasGivenUp, Key: keyOf(m.Name)})
		return nil
	case !t.noteRefusal(err):
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, keyOf(m.Name))
	return nil
}

// ask posts a request, or sends one, which may be of a dialogue.
func (t *talker) ask(post bool) error {
	key := t.nextKey()
	target := t.Targets[t.r.IntN(len(t.Targets))]
	m := &kbusdev.Message{Flags: kbusdev.WantReply, Data: make([]byte, t.r.IntN(300))}
	n := note{What: willAsk, Key: key, N: one(post)}
	t.mu.Lock()
	if last := len(t.partners) - 1; !post && last >= 0 && t.r.IntN(2) == 0 {
		p := t.partners[last]
		t.partners = t.partners[:last]
		m.To, m.FinalTo, n.To = p.From, p.OrigFrom, p.From
		if !p.OrigFrom.IsZero() {
			n.To = p.OrigFrom.Local
		}
		target, _, _ = strings.Cut(answeredBy(p), "g")
	}
	if post {
		t.posted++
	} else {
		t.open[key] = kbusdev.MsgID{}
	}
	t.mu.Unlock()
	if t.r.IntN(5) == 0 {
		m.Flags |= kbusdev.AllOrWait
	}
	n.Word = target
	m.Name = askPrefix + target + "." + key
	t.note(n)
	if !post {
		return t.send(context.Background(), m)
	}
	err := t.k.Post(context.Background(), m)
	if err != nil {
		t.note(note{What: wasNotPosted, Key: key})
	}
	return err
}

// answeredBy returns the Ksock that wrote a reply.
func answeredBy(m *kbusdev.Message) string {
	_, by, _ := strings.Cut(string(m.Data), " ")
	return by
}

// flush notes the fates of what was posted.
func (t *talker) flush() error {
	err := t.k.Flush(context.Background())
	if err != nil {
		for _, err := range refusals(err) {
			if errors.Is(err, net.ErrClosed) || !t.noteRefusal(err) {
				return err
			}
			var refusal *kbusdev.OpError
			if errors.As(err, &refusal) && strings.HasPrefix(refusal.Name, askPrefix) {
				t.mu.Lock()
				t.posted--
				t.mu.Unlock()
			}
		}
	}
	t.note(note{What: hasFlushed})
	return nil
}

// taken notes the id of a request, whose reply may be there already.
func (t *talker) taken(key string, id kbusdev.MsgID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, open := t.open[key]; !open {
		return
	}
	if t.open[key] = id; t.early[id] {
		delete(t.open, key)
		delete(t.early, id)
	}
}

// settled notes that a request has its reply: key is empty if a bus wrote it. It is called
// under mu.
func (t *talker) settled(key string, id kbusdev.MsgID) {
	if key == "" {
		for k, i := range t.open {
			if i == id {
				key = k
			}
		}
	}
	_, open := t.open[key]
	switch {
	case open:
		delete(t.open, key)
	case key != "":
		t.posted--
	default: // of a request that was posted, or of one whose id is not known yet
		t.early[id] = true
	}
}

// take notes a reply.
func (t *talker) take(m *kbusdev.Message) {
	outcome, reason := kbusdev.OutcomeOf(m)
	n := note{What: hasReply, ID: m.InReplyTo, Word: outcome.String() + " " + reason}
	if outcome == kbusdev.Answered {
		key, by, _ := strings.Cut(string(m.Data), " ")
		n.Key, n.Word = key, by
	}
	t.note(n)
	t.mu.Lock()
	defer t.mu.Unlock()
	if outcome == kbusdev.Answered && len(t.partners) < 4 {
		t.partners = append(t.partners, m)
	}
	t.settled(n.Key, m.InReplyTo)
	select {
	case t.news <- struct{}{}:
	default:
	}
}

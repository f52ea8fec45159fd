package contestants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/kbus-limpet/limpet/bench/contest"
)

type mqttBus string

func (b mqttBus) Connect(context.Context) (contest.Program, error) {
	p := new(mqttProgram)
	p.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + string(b)).
		SetAutoReconnect(false).SetKeepAlive(time.Minute).SetDefaultPublishHandler(p.hear))
	return p, done(p.client.Connect())
}

// done waits until the broker has done what was asked of it.
func done(t mqtt.Token) error {
	if !t.WaitTimeout(patience) {
		return errors.New("the broker has not answered in time")
	}
	return t.Error()
}

// A mqttProgram makes requests of announcements: MQTT 3.1.1 has none. The last level of
// the topic tells whose request, or whose reply, it is.
type mqttProgram struct {
	client mqtt.Client
	heard  atomic.Pointer[func([]byte)]
}

func mqttName(name string) string { return "bench/" + name }

// subscribeAtOnce is how many topics go into one packet.
const subscribeAtOnce = 1000

// hear gets what no subscription has a function for.
func (p *mqttProgram) hear(_ mqtt.Client, m mqtt.Message) {
	if heard := p.heard.Load(); heard != nil {
		(*heard)(m.Payload())
	}
}

// Listen is called once. The subscriptions have no function, for the library looks for it
// among all of them, one after the other.
func (p *mqttProgram) Listen(_ context.Context, names []string, heard func([]byte)) error {
	p.heard.Store(&heard)
	for some := range slices.Chunk(names, subscribeAtOnce) {
		topics := make(map[string]byte, len(some))
		for _, name := range some {
			topics[mqttName(name)] = 0
		}
		if err := done(p.client.SubscribeMultiple(topics, nil)); err != nil {
			return err
		}
	}
	return nil
}

func (p *mqttProgram) Serve(_ context.Context, name string, reply func([]byte) ([]byte, bool)) error {
	prefix := mqttName(name) + "/"
	return done(p.client.Subscribe(prefix+"+", 0, func(c mqtt.Client, m mqtt.Message) {
		if data, ok := reply(m.Payload()); ok {
			c.Publish(replyPrefix+strings.TrimPrefix(m.Topic(), prefix), 0, false, data)
		}
	}))
}

const replyPrefix = "bench/reply/"

func (p *mqttProgram) Send(_ context.Context, name string, data []byte) error {
	t := p.client.Publish(mqttName(name), 0, false, data)
	select {
	case <-t.Done():
		return t.Error()
	default: // it is written soon
		return nil
	}
}

// Flush does nothing: the library writes every message at once.
func (p *mqttProgram) Flush() error { return nil }

// callers makes the topics of callers in this process different.
var callers struct {
	mu sync.Mutex
	n  int
}

func (p *mqttProgram) Caller(_ context.Context, name string) (contest.Call, error) {
	callers.mu.Lock()
	callers.n++
	me := strconv.Itoa(callers.n)
	callers.mu.Unlock()
	replies := make(chan []byte, 1)
	err := done(p.client.Subscribe(replyPrefix+me, 0, func(_ mqtt.Client, m mqtt.Message) {
		select {
		case replies <- m.Payload():
		default: // of a request that was given up
		}
	}))
	return func(ctx context.Context, data []byte) ([]byte, error) {
		p.client.Publish(mqttName(name)+"/"+me, 0, false, data)
		return await(ctx, replies)
	}, err
}

// await waits for a reply.
func await(ctx context.Context, replies <-chan []byte) ([]byte, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r := <-replies:
		return r, nil
	case <-late.C:
		return nil, fmt.Errorf("no reply within %v", patience)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *mqttProgram) Hold(_ context.Context, name string, n int) error {
	for i := range n {
		if err := done(p.client.Publish(fmt.Sprintf("%s/open%d", mqttName(name), i), 0, false, []byte{})); err != nil {
			return err
		}
	}
	return nil
}

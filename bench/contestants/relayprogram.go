package contestants

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"

	"github.com/kbus-limpet/limpet/bench/contest"
)

type relayBus string

func (b relayBus) Connect(ctx context.Context) (contest.Program, error) {
	conn, err := new(net.Dialer).DialContext(ctx, unix, string(b))
	if err != nil {
		return nil, err
	}
	p := &relayProgram{conn: newFrameConn(conn)}
	go p.read(conn)
	return p, nil
}

// A relayProgram writes and reads frames.
type relayProgram struct {
	floorHandlers
	conn *frameConn
}

func (p *relayProgram) read(conn net.Conn) {
	r := bufio.NewReaderSize(conn, bufferBytes)
	buf := make([]byte, frameHeader)
	for {
		var err error
		if buf, err = readFrame(r, buf); err != nil {
			return
		}
		caller, data := binary.LittleEndian.Uint32(buf[5:]), buf[frameHeader:]
		if answer, ok := p.got(buf[4], caller, data); ok {
			_ = p.write(reply, caller, answer)
		}
		if r.Buffered() == 0 {
			_ = p.conn.flush()
		}
	}
}

func (p *relayProgram) write(kind byte, caller uint32, data []byte) error {
	var header [frameHeader]byte
	putFrame(header[:], kind, caller, len(data))
	return p.conn.write(header[:], data)
}

func (p *relayProgram) Send(_ context.Context, _ string, data []byte) error {
	return p.write(announcement, 0, data)
}

func (p *relayProgram) Flush() error { return p.conn.flush() }

func (p *relayProgram) Caller(context.Context, string) (contest.Call, error) {
	caller, replies := p.newCaller()
	return func(ctx context.Context, data []byte) ([]byte, error) {
		if err := p.write(request, caller, data); err != nil {
			return nil, err
		}
		if err := p.conn.flush(); err != nil {
			return nil, err
		}
		return await(ctx, replies)
	}, nil
}

package bus

import (
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// A content is what all that a client may send has in common.
type content interface {
	GetName() string
	GetData() []byte
	GetDataText() string
	GetFlags() []pb.Flag
	GetUserFlags() uint32
}

var flagOf = map[pb.Flag]kbusdev.Flags{
	pb.Flag_FLAG_URGENT:      kbusdev.Urgent,
	pb.Flag_FLAG_ALL_OR_FAIL: kbusdev.AllOrFail,
	pb.Flag_FLAG_ALL_OR_WAIT: kbusdev.AllOrWait,
}

// fromClient returns the message that a client wants to send. The error is a status.
func fromClient(r content) (*kbusdev.Message, error) {
	flags := kbusdev.Flags(r.GetUserFlags())
	if flags&^kbusdev.UserFlags != 0 {
		return nil, invalid("user_flags is %#x; only the upper 16 bits are the user's", r.GetUserFlags())
	}
	for _, f := range r.GetFlags() {
		bit, known := flagOf[f]
		if !known {
			return nil, invalid("flag %v is not known; there are URGENT, ALL_OR_FAIL and ALL_OR_WAIT", f)
		}
		flags |= bit
	}
	const both = kbusdev.AllOrFail | kbusdev.AllOrWait
	if flags&both == both {
		return nil, invalid("the flags ALL_OR_FAIL and ALL_OR_WAIT exclude each other; give one of them")
	}
	data := r.GetData()
	if text := r.GetDataText(); text != "" {
		if len(data) > 0 {
			return nil, invalid("data and data_text are both set; give the data once")
		}
		data = []byte(text)
	}
	return &kbusdev.Message{Name: r.GetName(), Data: data, Flags: flags}, nil
}

// toProto returns a message as the API shows it.
func toProto(m *kbusdev.Message) *pb.Message {
	out := new(pb.Message)
	wire.ToProto(out, m, time.Now())
	return out
}

package wire

import (
	"fmt"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// What a program's batches cost by the message: those to be sent without a result, and
// results.
func BenchmarkProgramCodec(b *testing.B) {
	m := kbusdev.Message{ID: kbusdev.MsgID{Serial: 100000}, From: 3, Name: "$.Sensors.Kitchen", Data: make([]byte, 64)}
	for _, n := range []int{1, 200} {
		plain, tagged := &program.OperationBatch{First: 1 << 20}, &program.OperationBatch{First: 1 << 20}
		messages, results := &program.EventBatch{First: 1 << 20}, &program.EventBatch{First: 1 << 20}
		for i := range n {
			plain.Messages = append(plain.Messages, program.Operation{Action: program.Send, Wait: true, Msg: m})
			tagged.Messages = append(tagged.Messages, program.Operation{Action: program.Send, Wait: true, Msg: m, Tag: uint64(i + 1)})
			messages.Messages = append(messages.Messages, program.Event{Msg: m})
			results.Messages = append(results.Messages, program.Event{Result: &program.Result{Tag: uint64(i + 1), ID: m.ID}})
		}
		for _, c := range []struct {
			name string
			out  *outgoingOfProgram
			into any
		}{
			{"posted", &outgoingOfProgram{frame: plain, request: true, now: at}, new(RequestReceiver)},
			{"tagged", &outgoingOfProgram{frame: tagged, request: true, now: at}, new(RequestReceiver)},
			{"messages", &outgoingOfProgram{frame: messages, now: at}, new(ResponseReceiver)},
			{"results", &outgoingOfProgram{frame: results, now: at}, new(ResponseReceiver)},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					out, err := Codec.Marshal(c.out)
					if err != nil {
						b.Fatal(err)
					}
					if err := Codec.Unmarshal(out, c.into); err != nil {
						b.Fatal(err)
					}
					switch r := c.into.(type) {
					case *RequestReceiver:
						r.frame.(*program.OperationBatch).Taken = true
					case *ResponseReceiver:
						r.frame.(*program.EventBatch).Taken = true
					}
					out.Free()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/msg")
			})
		}
	}
}

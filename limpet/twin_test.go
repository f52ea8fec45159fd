package limpet

import (
	"container/list"
	"reflect"
	"strings"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kbus-limpet/limpet/limpet/record"
)

// TwinDiffers returns how the machines that are made from the state of a player's differ
// from them; "" if they do not.
func TwinDiffers(p *Player, h record.Header) (string, error) {
	state, _ := p.Beginning(&h)
	twin, err := NewPlayer(&h, state, nil)
	if err != nil {
		return "", err
	}
	return cmp.Diff(p.epoch, twin.epoch,
		cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty(),
		cmp.FilterPath(notState, cmp.Ignore()), cmp.FilterPath(is("fifo"), cmp.Transformer("items", items)), cmp.FilterPath(is("timer"), cmp.Transformer("running", running)),
		cmp.Transformer("values", values), cmp.Transformer("value", value),
	), nil
}

// notState reports what is no state: what the machines were made with, and what they use
// while an event is processed.
func notState(at cmp.Path) bool {
	if at.Last().Type().Kind() == reflect.Func {
		return true
	}
	switch at.String() {
	case "cfg", "rec", "note", "fx":
		return true
	case "session.out.batch": // a stream has it
		return true
	case "session.out.spare", "session.in.spare", "toTell.most", "wants.toTell.changes.most": // memory
		return true
	}
	return false
}

// is returns a filter for what has a type of that name.
func is(typ string) func(cmp.Path) bool {
	return func(at cmp.Path) bool {
		name, _, _ := strings.Cut(at.Last().Type().Name(), "[")
		return name == typ
	}
}

// open returns a function that returns the fields of a struct, also those that are not exported.
func open(x any) func(name string) reflect.Value {
	v := reflect.New(reflect.TypeOf(x)).Elem()
	v.Set(reflect.ValueOf(x))
	return func(name string) reflect.Value {
		f := v.FieldByName(name)
		return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	}
}

// items returns what is in a fifo of package link; where it stands there does not matter.
func items(fifo any) (all []any) {
	field := open(fifo)
	chunks, first := field("chunks"), int(field("first").Int())
	for i := first; i < first+int(field("n").Int()); i++ {
		chunk := chunks.Index(i / chunks.Type().Elem().Elem().Len()).Elem()
		all = append(all, chunk.Index(i%chunk.Len()).Interface())
	}
	return all
}

// running returns when a timer of package translate fires, and where it stands among the others;
// nil if it does not run, whenever it last did.
func running(timer any) (all []any) {
	field := open(timer)
	for _, name := range []string{"slot", "at", "turn"} {
		if field("slot").Int() > 0 {
			all = append(all, field(name).Interface())
		}
	}
	return all
}

func values(l list.List) (all []any) {
	for e := l.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value)
	}
	return all
}

func value(e *list.Element) any {
	if e == nil {
		return nil
	}
	return e.Value
}

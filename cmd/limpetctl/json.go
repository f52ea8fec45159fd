package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kbus-limpet/limpet/internal/printable"
)

// printJSON writes a value as one line of JSON. docs/limpetctl.md promises its form: names
// in snake_case, numbers as numbers, times as RFC 3339, durations in seconds with names that
// end in _seconds.
func (o *options) printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(printable.JSON(append(b, '\n')))
	return err
}

// printProto writes a message of the API as one line of JSON.
func (o *options) printProto(w io.Writer, m proto.Message) error {
	return o.printJSON(w, objectOf(m.ProtoReflect()))
}

// An object is a JSON object that keeps the order of its members.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON is json.Marshaler's.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// unshown are fields that belong to the protocol, or that a command of its own shows.
var unshown = map[protoreflect.FullName]bool{
	"kbus.limpet.v1.GetStatusResponse.next_page_token": true,
	"kbus.limpet.v1.GetStatusResponse.configuration":   true,
	"kbus.limpet.v1.LinkStatus.drops":                  true,
}

// objectOf returns a message of the API as a JSON object: all its fields, in their order.
// protojson would not do: it has 64-bit numbers as strings.
func objectOf(m protoreflect.Message) object {
	fields := m.Descriptor().Fields()
	out := make(object, 0, fields.Len())
	for i := range fields.Len() {
		f := fields.Get(i)
		if unshown[f.FullName()] {
			continue
		}
		name := string(f.Name())
		if isDuration(f) {
			name += "_seconds"
		}
		out = append(out, member{name, fieldValue(f, m)})
	}
	return out
}

func isDuration(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == (*durationpb.Duration)(nil).ProtoReflect().Descriptor().FullName()
}

func fieldValue(f protoreflect.FieldDescriptor, m protoreflect.Message) any {
	v := m.Get(f)
	switch {
	case f.IsMap():
		out := make(map[string]any, v.Map().Len())
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			out[k.String()] = jsonValue(f.MapValue(), v)
			return true
		})
		return out
	case f.IsList():
		out := make([]any, v.List().Len())
		for i := range out {
			out[i] = jsonValue(f, v.List().Get(i))
		}
		return out
	case f.HasPresence() && !m.Has(f):
		return nil
	}
	return jsonValue(f, v)
}

func jsonValue(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.EnumKind:
		return enumName(f.Enum(), v.Enum())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		switch m := v.Message().Interface().(type) {
		case *timestamppb.Timestamp:
			return m.AsTime()
		case *durationpb.Duration:
			return m.AsDuration().Seconds()
		}
		return objectOf(v.Message())
	default:
		return v.Interface()
	}
}

// enumName returns the name of an enum's value without the enum's own, in lower case; the
// number of one that this program does not know.
func enumName(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) any {
	v := e.Values().ByNumber(n)
	if v == nil {
		return int32(n)
	}
	return strings.TrimPrefix(strings.ToLower(string(v.Name())), snake(string(e.Name()))+"_")
}

// snake returns LinkState as link_state.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

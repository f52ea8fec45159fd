package main

import (
	"github.com/spf13/pflag"
)

// choices are the values of settings that have few.
var choices = map[string][]string{
	"interest":   {"on", "poll", "off"},
	"log-format": {"text", "json"},
}

// A schema is a part of a JSON schema.
type schema map[string]any

// fileSchema returns the JSON schema of the configuration file, made from the flags.
func fileSchema() schema {
	c := new(config)
	file := objectSchema(c.settings())
	file["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	file["title"] = "Configuration of limpetd"
	link := objectSchema(new(linkSettings).settings())
	var one []schema
	for _, kind := range []string{"connect", "listen", "connect-classic", "listen-classic"} {
		one = append(one, schema{"required": []string{kind}})
	}
	link["oneOf"] = one
	link["properties"].(schema)["rules"], _ = rulesSchema()
	file["properties"].(schema)["links"] = schema{
		"type": "array", "items": link,
		"description": "links with settings of their own: what they do not say holds as above",
	}
	properties := file["properties"].(schema)
	properties["rules"], properties["tests"] = rulesSchema()
	return file
}

// objectSchema returns the schema of a mapping with what the flags set.
func objectSchema(flags *pflag.FlagSet) schema {
	properties := make(schema)
	flags.VisitAll(func(f *pflag.Flag) { properties[f.Name] = flagSchema(f) })
	return schema{"type": "object", "additionalProperties": false, "properties": properties}
}

// durationPattern is what Go's time.ParseDuration takes.
const durationPattern = `^(0|-?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`

func flagSchema(f *pflag.Flag) schema {
	_, usage := pflag.UnquoteUsage(f)
	s := schema{"description": usage}
	switch f.Value.Type() {
	case "bool":
		s["type"] = "boolean"
	case "int", "uint32":
		s["type"] = "integer"
		if f.Value.Type() == "uint32" {
			s["minimum"], s["maximum"] = 0, uint32(1<<32-1)
		}
	case "float64":
		s["type"] = "number"
	case "duration":
		s["type"], s["pattern"] = []string{"string", "integer"}, durationPattern
	case "stringSlice":
		word := schema{"type": "string"}
		s["oneOf"] = []schema{word, {"type": "array", "items": word}}
	default:
		s["type"] = []string{"string", "number", "boolean"} // a file may leave the quotes out
	}
	if of := choices[f.Name]; of != nil {
		s["enum"], s["type"] = of, "string"
	}
	if _, list := f.Value.(pflag.SliceValue); !list && f.DefValue != "" {
		s["default"] = f.DefValue
	}
	return s
}

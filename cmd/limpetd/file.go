package main

import (
	"fmt"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/kbus-limpet/limpet/internal/rulefile"
)

// takeFile takes the settings of a YAML file: a mapping from their names to their values.
// The values are taken as they are written, for their flags to parse, so that YAML's own
// ideas of what a number or a truth is play no part.
func (s *settings) takeFile(path string) error {
	root, err := rulefile.ReadYAML(path)
	if err != nil {
		return err
	}
	if root == nil {
		return nil // empty
	}
	at := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", path, n.Line) }
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s: the file must have settings, NAME: VALUE, one a line", at(root))
	}
	return rulefile.EachSetting(root, at, func(key, value *yaml.Node) error {
		switch key.Value {
		case "links":
			s.links = func(c *config) error { return c.takeLinks(value, at) }
			return nil
		case "rules":
			s.origins[key.Value] = at(key)
			return s.rules.TakeRules(value, at)
		case "tests":
			s.origins[key.Value] = at(key)
			return s.rules.TakeTests(value, at)
		default:
			return s.takeNode(key, value, at)
		}
	})
}

// takeNode takes one setting.
func (s *settings) takeNode(key, value *yaml.Node, at func(*yaml.Node) string) error {
	f := s.flags.Lookup(key.Value)
	if f == nil {
		return fmt.Errorf("%s: there is no setting %q; the names are those of the flags", at(key), key.Value)
	}
	_, isList := f.Value.(pflag.SliceValue)
	words, err := rulefile.WordsOf(value, isList)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", at(value), key.Value, err)
	}
	return s.set(key.Value, at(key), words...)
}

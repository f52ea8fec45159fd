package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// takeFile takes the settings of a YAML file: a mapping from their names to their values.
// The values are taken as they are written, for their flags to parse, so that YAML's own
// ideas of what a number or a truth is play no part.
func (s *settings) takeFile(path string) error {
	root, err := readYAML(path)
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
	return eachSetting(root, at, func(key, value *yaml.Node) error {
		if key.Value == "links" {
			s.links = func(c *config) error { return c.takeLinks(value, at) }
			return nil
		}
		return s.takeNode(key, value, at)
	})
}

// readYAML returns the one document of a file; nil if there is nothing in it.
func readYAML(path string) (*yaml.Node, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration file: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

// eachSetting calls f for each key of a mapping and its value. A key that comes twice is
// an error.
func eachSetting(mapping *yaml.Node, at func(*yaml.Node) string, f func(key, value *yaml.Node) error) error {
	seen := make(map[string]int)
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if line := seen[key.Value]; line > 0 {
			return fmt.Errorf("%s: %q stands there twice, first in line %d", at(key), key.Value, line)
		}
		seen[key.Value] = key.Line
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// takeNode takes one setting.
func (s *settings) takeNode(key, value *yaml.Node, at func(*yaml.Node) string) error {
	f := s.flags.Lookup(key.Value)
	if f == nil {
		return fmt.Errorf("%s: there is no setting %q; the names are those of the flags", at(key), key.Value)
	}
	_, isList := f.Value.(pflag.SliceValue)
	words, err := wordsOf(value, isList)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", at(value), key.Value, err)
	}
	return s.set(key.Value, at(key), words...)
}

var (
	errNoValue = errors.New("it has no value; leave the line out for the default")
	errNoList  = errors.New("it is one value, not a list")
	errNoWord  = errors.New("it is a word or a number, or a list of them if it may be repeated, without anything inside")
)

// wordsOf returns a scalar, or those of a list, as they are written.
func wordsOf(value *yaml.Node, list bool) ([]string, error) {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return nil, errNoValue
	case value.Kind == yaml.ScalarNode:
		return []string{value.Value}, nil
	case value.Kind != yaml.SequenceNode:
		return nil, errNoWord
	case !list:
		return nil, errNoList
	}
	words := make([]string, 0, len(value.Content))
	for _, item := range value.Content {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return nil, errNoWord
		}
		words = append(words, item.Value)
	}
	return words, nil
}

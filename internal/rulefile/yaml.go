package rulefile

import (
	"errors"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// ReadYAML returns the one document of a file; nil if there is nothing in it.
func ReadYAML(path string) (*yaml.Node, error) {
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

// EachSetting calls f for each key of a mapping and its value. A key that comes twice is
// an error.
func EachSetting(mapping *yaml.Node, at func(*yaml.Node) string, f func(key, value *yaml.Node) error) error {
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

var (
	errNoValue = errors.New("it has no value; leave the line out for the default")
	errNoList  = errors.New("it is one value, not a list")
	errNoWord  = errors.New("it is a word or a number, or a list of them if it may be repeated, without anything inside")
)

// WordsOf returns a scalar, or those of a list, as they are written.
func WordsOf(value *yaml.Node, list bool) ([]string, error) {
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

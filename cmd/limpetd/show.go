package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// show prints the settings that hold, as a file would have them, and where each comes
// from.
func (c *config) show(out io.Writer) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	c.set.flags.VisitAll(func(f *pflag.Flag) {
		fmt.Fprintf(w, "%s: %s\t# %s\n", f.Name, yamlValue(f.Value), cmp.Or(c.set.origins[f.Name], "default"))
	})
	if len(c.links) > 0 {
		fmt.Fprintln(w, "links:")
	}
	for _, l := range c.links {
		indent := "  - "
		l.set.flags.VisitAll(func(f *pflag.Flag) {
			if l.set.origins[f.Name] == "" && (f.DefValue == "" || f.DefValue == "[]") {
				return
			}
			fmt.Fprintf(w, "%s%s: %s\t# %s\n", indent, f.Name, yamlValue(f.Value), cmp.Or(l.set.origins[f.Name], "as above"))
			indent = "    "
		})
		l.set.rules.showIn(w, "    ", l.set.origins["rules"])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text, err := c.set.rules.show(c.set.origins)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, b.String()+text)
	return err
}

// yamlValue returns a flag's value as YAML on one line.
func yamlValue(v pflag.Value) string {
	if list, ok := v.(pflag.SliceValue); ok {
		return yamlList(list.GetSlice())
	}
	node := yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
	if v.Type() == "string" {
		node.Tag = "!!str"
	}
	return yamlText(&node)
}

// yamlList returns words as a YAML list on one line.
func yamlList(words []string) string {
	node := yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, word := range words {
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: word})
	}
	return yamlText(&node)
}

func yamlText(node *yaml.Node) string {
	text, err := yaml.Marshal(node)
	if err != nil { // no string makes it fail
		return fmt.Sprintf("%q", node.Value)
	}
	return strings.TrimSpace(string(text))
}

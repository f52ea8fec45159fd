package rulefile

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Read returns the rules of a file that has them, and perhaps tests, and nothing else. The
// error has the file, the line and what is wrong, a test that does not hold too. A file
// without rules is an error: it would allow everything, and may only be half written.
func Read(path string) (*rules.Set, error) {
	root, err := ReadYAML(path)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, errNoRules(path)
	}
	at := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", path, n.Line) }
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: the file must have a list of rules, and may have one of tests", at(root))
	}
	var f File
	where := make(map[string]string)
	err = EachSetting(root, at, func(key, value *yaml.Node) error {
		where[key.Value] = at(key)
		switch key.Value {
		case "rules":
			return f.TakeRules(value, at)
		case "tests":
			return f.TakeTests(value, at)
		default:
			return fmt.Errorf("%s: there is no setting %q in a file of rules; there are rules and tests", at(key), key.Value)
		}
	})
	if err != nil {
		return nil, err
	}
	all, tests := f.All()
	set, err := rules.Compile(all)
	if err != nil {
		return nil, fmt.Errorf("%s: rules: %w", where["rules"], err)
	}
	if set == nil {
		return nil, errNoRules(path)
	}
	if err := set.Check(tests); err != nil {
		return nil, fmt.Errorf("%s: tests: %w", where["tests"], err)
	}
	return set, nil
}

func errNoRules(path string) error {
	return fmt.Errorf("%s: it has no rules; to allow everything write \"rules: [{allow: all}]\"", path)
}

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

const envPrefix = "LIMPETD_"

// A loader puts a configuration together: a flag wins over the environment, which wins
// over the file. It can do so again, when the file has changed.
type loader struct {
	args *pflag.FlagSet // as the command line was parsed
	file string         // from the command line or the environment; "" is none
}

// newLoader returns a loader for a command line that has been parsed into flags of
// commandLine.
func newLoader(args *pflag.FlagSet) *loader {
	file, _ := args.GetString("config")
	if file == "" {
		file = os.Getenv(envPrefix + "CONFIG")
	}
	return &loader{args: args, file: file}
}

// commandLine returns the flags of a command that needs a configuration.
func commandLine() *pflag.FlagSet {
	f := new(config).settings()
	f.String("config", "", "read a YAML `FILE` with the same names")
	return f
}

// load returns what limpetd is told now.
func (l *loader) load() (*config, error) {
	c := new(config)
	s := &settings{flags: c.settings(), origins: make(map[string]string)}
	if err := s.takeArgs(l.args); err != nil {
		return nil, err
	}
	if err := s.takeEnvironment(os.Environ()); err != nil {
		return nil, err
	}
	if l.file != "" {
		if err := s.takeFile(l.file); err != nil {
			return nil, err
		}
	}
	if s.links != nil {
		if err := s.links(c); err != nil {
			return nil, err
		}
	}
	c.set = s
	if err := c.validate(); err != nil {
		return c, s.locate(err)
	}
	var shown strings.Builder
	err := c.show(&shown)
	c.daemon.Shown = shown.String()
	return c, err
}

// locate says in an error that a setting is wrong where that was set, unless it is the
// flag that the error names.
func (s *settings) locate(err error) error {
	var bad *daemon.ConfigError
	if !errors.As(err, &bad) {
		return err
	}
	origin := s.origins[bad.Setting]
	if origin == "" || strings.HasPrefix(origin, "--") {
		return err
	}
	return &daemon.ConfigError{Err: fmt.Errorf("%s: %w", setAt(origin, bad.Setting), bad.Err)}
}

// settings are flags that are set from the source that wins to the one that yields: what
// is set already stays.
type settings struct {
	flags   *pflag.FlagSet
	origins map[string]string   // where each that is not the default was set
	links   func(*config) error // takes the file's list of links, when the rest is known
	rules   fileRules
}

// set sets a setting to the words, of which there is one unless it is a list. It does
// nothing if it has been set.
func (s *settings) set(name, origin string, words ...string) error {
	if s.origins[name] != "" {
		return nil
	}
	f := s.flags.Lookup(name)
	list, isList := f.Value.(pflag.SliceValue)
	var err error
	switch {
	case isList:
		err = list.Replace(words)
	case len(words) != 1:
		err = fmt.Errorf("it is one value, not a list of %d", len(words))
	default:
		err = f.Value.Set(words[0])
	}
	if err != nil {
		return fmt.Errorf("%s: %q is no %s: %w", setAt(origin, name), strings.Join(words, ","), f.Value.Type(), err)
	}
	if of := choices[name]; of != nil && !slices.Contains(of, words[0]) {
		return fmt.Errorf("%s: %q is not one of %s", setAt(origin, name), words[0], strings.Join(of, ", "))
	}
	s.origins[name] = origin
	return nil
}

// setAt returns where a setting is set, for an error about it.
func setAt(origin, name string) string {
	if strings.HasPrefix(origin, "--") || strings.HasPrefix(origin, envPrefix) {
		return origin
	}
	return origin + ": " + name
}

// takeArgs takes what was set on the command line.
func (s *settings) takeArgs(args *pflag.FlagSet) (err error) {
	args.Visit(func(f *pflag.Flag) {
		if s.flags.Lookup(f.Name) == nil || err != nil {
			return // one of the command's own
		}
		words := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			words = list.GetSlice()
		}
		err = s.set(f.Name, "--"+f.Name, words...)
	})
	return err
}

// notSettings are variables of the environment that other code reads.
var notSettings = []string{envPrefix + "CONFIG"}

// takeEnvironment takes the variables that set something. Lists have commas.
func (s *settings) takeEnvironment(environ []string) error {
	for _, v := range environ {
		variable, value, _ := strings.Cut(v, "=")
		name, ours := strings.CutPrefix(variable, envPrefix)
		if !ours || slices.Contains(notSettings, variable) {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		f := s.flags.Lookup(name)
		if f == nil {
			return fmt.Errorf("environment: there is no setting for %s; the names are those of the flags", variable)
		}
		words := []string{value}
		if _, list := f.Value.(pflag.SliceValue); list {
			words = strings.Split(value, ",")
		}
		if err := s.set(name, variable, words...); err != nil {
			return err
		}
	}
	return nil
}

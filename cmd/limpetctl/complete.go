package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// completeTime bounds how long a person waits for the names that a word can become.
const completeTime = 2 * time.Second

// completeNames returns a completion of a command's first argument by the names that are
// bound on the bus in a role.
func (o *options) completeNames(role kbusdev.Role) cobra.CompletionFunc {
	return func(cmd *cobra.Command, words []string, begun string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		if len(words) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		_ = o.withBus(func(bus *client.Bus) error { // what cannot be asked completes nothing
			ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
			defer cancel()
			for page, err := range bus.BindingPages(ctx, 0) {
				if err != nil {
					return err
				}
				for _, b := range page {
					if b.Role == role && strings.HasPrefix(b.Name, begun) {
						names = append(names, b.Name)
					}
				}
			}
			return nil
		})
		slices.Sort(names)
		return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
	}
}

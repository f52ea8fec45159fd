package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/certs"
)

func newCert() *cobra.Command {
	f := certs.Folder{}
	days := 0
	cmd := &cobra.Command{
		Use:   "cert HOST[,NAME...]...",
		Short: "Make certificates for a first try of TLS, and a private CA to sign them",
		Long: `cert makes a key and a certificate for each host, signed by a CA of their own,
which it makes too if the folder has none: ca.pem and ca.key. Whoever has ca.key
can make certificates that everybody here believes: keep it, and copy to a host
only ca.pem, HOST.pem and HOST.key.

Each host is a list of the names under which it is dialled, with commas between:
DNS names, IP addresses, and URIs such as spiffe://example.org/limpetd. The first
name is that of the files too. Keys are ECDSA, on P-256.

No file is overwritten. For a new certificate, move the old one and its key away
and run the command again: a limpetd that uses the files takes the new ones
without a restart.`,
		Example: `  limpetd cert hostA hostB
  limpetd cert hostC,hostC.example.org,192.0.2.7`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MinimumNArgs(1)(cmd, args); err != nil {
				return &usageError{errors.New("cert: name the hosts, for example: limpetd cert hostA hostB")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, hosts []string) error {
			if days < 1 || days > 3650 {
				return &usageError{fmt.Errorf("--days: %d is not between 1 and 3650", days)}
			}
			f.Life = time.Duration(days) * 24 * time.Hour
			made, err := f.Add(hosts)
			sayMade(cmd.OutOrStdout(), made)
			if errors.Is(err, fs.ErrExist) || errors.Is(err, certs.ErrName) {
				return &usageError{err}
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.Flags().StringVar(&f.Dir, "dir", "certs", "the `FOLDER` of the certificates")
	cmd.Flags().IntVar(&days, "days", 365, "how many `DAYS` the hosts' certificates are valid")
	return cmd
}

func sayMade(out io.Writer, made []certs.Made) {
	for _, m := range made {
		fmt.Fprintf(out, "%s and %s: %s, valid until %s\n", m.Cert, m.Key, m.What, m.Until.Format(time.DateOnly))
	}
}

package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// backdate lets in machines whose clocks are a little behind.
	backdate = time.Hour
)

// Made is what Folder.Add has made.
type Made struct {
	// What it is for: "CA", or the host's names.
	What string
	// Cert and Key are the files.
	Cert, Key string
	// Until is when it expires.
	Until time.Time
}

// A Folder keeps a CA and the certificates that it has signed: ca.pem and ca.key, NAME.pem
// and NAME.key. Keys are readable by their owner only.
type Folder struct {
	// Dir is the folder. It is made if need be.
	Dir string
	// Life is for how long a host's certificate is valid.
	Life time.Duration
}

// Add makes a certificate for each of the hosts, which are lists of names with commas in
// between. The first name is that of the files, too. The CA is made if there is none. No
// file is ever overwritten: the error wraps fs.ErrExist then, and tells what to do. It
// returns what it has made, also with an error.
func (f Folder) Add(hosts []string) (made []Made, err error) {
	all := make([]Names, len(hosts))
	for i, host := range hosts {
		if all[i], err = ParseNames(strings.Split(host, ",")); err != nil {
			return nil, err
		}
		if name := fileName(host); strings.Contains(name, "/") || name == "ca" {
			return nil, fmt.Errorf("%q is %w for a file here; begin with another name of the host", name, ErrName)
		}
		if err := f.absent(fileName(host)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of certificates: %w", err)
	}
	now := time.Now()
	ca, first, err := f.ca(now)
	if err != nil {
		return nil, err
	}
	made = append(made, first...)
	for i, host := range hosts {
		p, err := ca.Sign(all[i], now.Add(-backdate), now.Add(f.Life))
		if err != nil {
			return made, fmt.Errorf("signing the certificate of %s: %w", host, err)
		}
		m, err := f.write(fileName(host), p)
		if err != nil {
			return made, err
		}
		m.What, m.Until = strings.ReplaceAll(host, ",", ", "), minTime(now.Add(f.Life), ca.Cert.NotAfter)
		made = append(made, m)
	}
	return made, nil
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func fileName(host string) string {
	name, _, _ := strings.Cut(host, ",")
	return name
}

// Path returns the files of a name.
func (f Folder) Path(name string) (cert, key string) {
	return filepath.Join(f.Dir, name+".pem"), filepath.Join(f.Dir, name+".key")
}

// absent returns an error if a certificate or key of this name is there.
func (f Folder) absent(name string) error {
	cert, key := f.Path(name)
	for _, path := range []string{cert, key} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is left alone: %w; move it away to make a new one", path, fs.ErrExist)
		}
	}
	return nil
}

// ca returns the CA of the folder. If it has been made, that is said.
func (f Folder) ca(now time.Time) (*CA, []Made, error) {
	cert, key := f.Path("ca")
	var p Pair
	var certErr, keyErr error
	p.Cert, certErr = os.ReadFile(cert)
	p.Key, keyErr = os.ReadFile(key)
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		ca, p, err := NewCA(now.Add(-backdate), now.Add(caLife))
		if err != nil {
			return nil, nil, fmt.Errorf("making a CA: %w", err)
		}
		m, err := f.write("ca", p)
		m.What, m.Until = "CA", ca.Cert.NotAfter
		return ca, []Made{m}, err
	case certErr != nil || keyErr != nil:
		return nil, nil, fmt.Errorf("reading the CA: %w", errors.Join(certErr, keyErr))
	}
	ca, err := ParseCA(p)
	if err == nil && now.After(ca.Cert.NotAfter) {
		err = fmt.Errorf("it has expired, on %s", ca.Cert.NotAfter.Format(time.DateOnly))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the CA %s: %w", cert, err)
	}
	return ca, nil, nil
}

// write makes the files of a name, the key first: without it the certificate is of no use.
func (f Folder) write(name string, p Pair) (Made, error) {
	cert, key := f.Path(name)
	if err := writeNew(key, p.Key, 0o600); err != nil {
		return Made{}, err
	}
	if err := writeNew(cert, p.Cert, 0o644); err != nil {
		return Made{}, err
	}
	return Made{Cert: cert, Key: key}, nil
}

func writeNew(path string, data []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return nil
}

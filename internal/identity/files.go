package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Files are the names of PEM files.
type Files struct {
	// Cert is the certificate, with those between it and the CA behind it.
	Cert string
	// Key is its private key.
	Key string
	// CA has the certificates of those that sign whom we believe.
	CA string
}

const (
	// lookEvery is how often the files are looked at, at most.
	lookEvery = time.Second
	// settled is how old a file must be for a change of it to change its time too.
	settled = 2 * time.Second
	// lastPart is when to warn of a certificate's end: in this part of its life.
	lastPart = 10
)

// TLS is a certificate with its key, and whom to believe, as they stand in files. What is
// put there later counts from the next handshake on, a second later at most; connections
// that there are go on. While the files cannot be used, those of before count, and the log
// has one line. A TLS is safe for concurrent use.
type TLS struct {
	files Files
	log   *slog.Logger
	every time.Duration

	now atomic.Pointer[material]

	looking sync.Mutex // guards what follows
	looked  time.Time
	read    [3]source
}

// material is what a handshake needs. It is not changed.
type material struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

// A source is a file as it was read last.
type source struct {
	info fs.FileInfo
	data []byte
}

// Load reads the files. The error names the file, and what is wrong with it. log, unless
// nil, is told when the files have changed, or can no longer be used.
func Load(files Files, log *slog.Logger) (*TLS, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &TLS{files: files, log: log, every: lookEvery, looked: time.Now()}
	m, _, err := t.load()
	if err != nil {
		return nil, err
	}
	t.now.Store(m)
	t.sayValidity(m)
	return t, nil
}

// Identity returns the names of our own certificate.
func (t *TLS) Identity() []string { return namesOf(t.now.Load().cert.Leaf) }

// ValidUntil returns until when our own certificate is valid. It looks at the files again if
// it is time to.
func (t *TLS) ValidUntil() time.Time { return t.current().cert.Leaf.NotAfter }

// current returns what counts now. Whoever finds another looking at the files does not
// wait: a disk that hangs holds up one handshake.
func (t *TLS) current() *material {
	if t.looking.TryLock() {
		defer t.looking.Unlock()
		if now := time.Now(); now.Sub(t.looked) >= t.every {
			t.looked = now
			t.look()
		}
	}
	return t.now.Load()
}

// look reads the files again if they may have changed.
func (t *TLS) look() {
	if !t.mayHaveChanged() {
		return
	}
	m, changed, err := t.load()
	switch {
	case !changed:
	case err != nil:
		t.log.Warn("the TLS files cannot be used; those of before count", "reason", err)
	default:
		t.now.Store(m)
		t.log.Info("the TLS files have changed; new connections use them", "certificate", m.cert.Leaf.Subject.String(), "names", namesOf(m.cert.Leaf))
		t.sayValidity(m)
	}
}

func (t *TLS) paths() [3]string { return [...]string{t.files.Cert, t.files.Key, t.files.CA} }

// mayHaveChanged reports whether a file is another, or so young that the file system's clock
// might not tell.
func (t *TLS) mayHaveChanged() bool {
	for i, path := range t.paths() {
		info, err := os.Stat(path)
		was := t.read[i].info
		if err != nil || was == nil {
			if (err == nil) != (was != nil) {
				return true
			}
			continue
		}
		if !os.SameFile(info, was) || info.Size() != was.Size() || !info.ModTime().Equal(was.ModTime()) || time.Since(info.ModTime()) < settled {
			return true
		}
	}
	return false
}

// load reads the files, and reports whether their contents differ from the last time. A file
// that cannot be read counts as empty.
func (t *TLS) load() (m *material, changed bool, err error) {
	for i, path := range t.paths() {
		s, failed := readSource(path)
		changed = changed || !bytes.Equal(s.data, t.read[i].data)
		t.read[i] = s
		if err == nil {
			err = failed
		}
	}
	if err != nil {
		return nil, changed, err
	}
	m, err = parse(t.files, t.read[0].data, t.read[1].data, t.read[2].data)
	return m, changed, err
}

// maxFile bounds a file, in bytes.
const maxFile = 1 << 20

func readSource(path string) (source, error) {
	info, err := os.Stat(path) // before it is read: a change in between is seen the next time
	if err != nil {
		return source{}, fmt.Errorf("reading TLS file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return source{}, fmt.Errorf("TLS file %s is no file, or has more than %d bytes", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return source{}, fmt.Errorf("reading TLS file: %w", err)
	}
	return source{info, data}, nil
}

func parse(files Files, cert, key, ca []byte) (*material, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	m := &material{cert: pair, roots: x509.NewCertPool()}
	if err := addRoots(m.roots, ca); err != nil {
		return nil, fmt.Errorf("CA file %s: %w", files.CA, err)
	}
	return m, nil
}

// addRoots takes all certificates of a PEM file, or none.
func addRoots(roots *x509.CertPool, data []byte) error {
	found := false
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("it has a %q; only certificates belong there", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		roots.AddCert(c)
		found = true
	}
	if !found {
		return errors.New("it has no certificate in PEM")
	}
	return nil
}

// sayValidity warns of a certificate that does not last, and of a key that all can read.
func (t *TLS) sayValidity(m *material) {
	leaf, now := m.cert.Leaf, time.Now()
	switch {
	case now.Before(leaf.NotBefore):
		t.log.Warn("the certificate is not valid yet; nobody will accept it", "file", t.files.Cert, "from", leaf.NotBefore)
	case now.After(leaf.NotAfter):
		t.log.Warn("the certificate has expired; nobody will accept it", "file", t.files.Cert, "until", leaf.NotAfter)
	case leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/lastPart:
		t.log.Warn("the certificate expires soon", "file", t.files.Cert, "until", leaf.NotAfter)
	}
	if info := t.read[1].info; info.Mode().Perm()&0o004 != 0 {
		t.log.Warn("the private key can be read by everybody; chmod o-r it", "file", t.files.Key)
	}
}

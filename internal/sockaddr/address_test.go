package sockaddr_test

import (
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

func TestParseAddress(t *testing.T) {
	for word, want := range map[string]sockaddr.Address{
		"localhost:7000":     {Network: "tcp", Address: "localhost:7000"},
		":7000":              {Network: "tcp", Address: ":7000"},
		"[::1]:7000":         {Network: "tcp", Address: "[::1]:7000"},
		"/run/limpet.sock":   {Network: "unix", Address: "/run/limpet.sock"},
		"unix:limpet.sock":   {Network: "unix", Address: "limpet.sock"},
		"./a:1":              {Network: "unix", Address: "./a:1"},
		"unix:a:1":           {Network: "unix", Address: "a:1"},
		"unix:/run/x":        {Network: "unix", Address: "/run/x"},
		"kbus.example.org:1": {Network: "tcp", Address: "kbus.example.org:1"},
	} {
		if got, err := sockaddr.ParseAddress(word); err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %+v, %v; want %+v", word, got, err, want)
		}
	}
	for word, words := range map[string]string{
		"":                             "host:port",
		"host:port":                    `port "port"`,
		"host:65536":                   `port "65536"`,
		"host":                         "give host:port, or the path",
		"limpet.sock":                  "unix:PATH",
		strings.Repeat("/", 108):       "at most 107 bytes",
		"unix:":                        "host:port",
		"/a\x00b":                      "NUL",
		"/" + strings.Repeat("a/", 60): "at most 107 bytes",
	} {
		if got, err := sockaddr.ParseAddress(word); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("ParseAddress(%.20q) = %+v, %v; want an error with %q", word, got, err, words)
		}
	}
}

func TestIsLocal(t *testing.T) {
	for word, want := range map[string]bool{
		"/run/limpet.sock": true, "unix:limpet.sock": true,
		"localhost:7000": true, "LocalHost:7000": true, "127.0.0.1:7000": true, "127.9.9.9:0": true, "[::1]:7000": true, "[::ffff:127.0.0.1]:1": true,
		":7000": false, "0.0.0.0:7000": false, "[::]:7000": false, "192.0.2.1:7000": false, "[2001:db8::1]:7000": false,
		"host:7000": false, "localhost.example.org:7000": false, "127.0.0.1.example.org:1": false, "[fe80::1%lo]:1": false,
	} {
		addr, err := sockaddr.ParseAddress(word)
		if got := addr.IsLocal(); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", word, got, err, want)
		}
	}
	if (sockaddr.Address{Network: "tcp", Address: "nonsense"}).IsLocal() {
		t.Error("what is no address is local")
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a:1", "/x", "unix:/x", "[::1]:2", ":", "a:b:c", "unix:unix:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		a, err := sockaddr.ParseAddress(word)
		if err != nil {
			return
		}
		if again, err := sockaddr.ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q gives %+v, which gives %+v, %v", word, a, again, err)
		}
		if a.Network == "tcp" {
			return
		}
		if a.Network != "unix" || a.Address == "" {
			t.Errorf("%q gives %+v", word, a)
		}
	})
}

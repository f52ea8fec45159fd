package client_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

func clock(ctx context.Context, bus *client.Bus) error {
	replier, err := bus.Serve(ctx, 0, "$.Clock.*") // there is one replier to a name, on all buses
	if err != nil {
		return err
	}
	defer replier.Close()
	for {
		q, err := replier.Recv()
		if err != nil {
			return err
		}
		if err := replier.Reply(q, "", []byte("noon")); err != nil {
			return err
		}
	}
}

func ask(ctx context.Context, bus *client.Bus) (string, error) {
	reply, err := bus.Call(ctx, &kbusdev.Message{Name: "$.Clock.Now"}) // ctx may have a deadline: it travels
	switch {
	case errors.Is(err, client.ErrNeverRan):
		return "", fmt.Errorf("it is safe to ask again: %w", err)
	case err != nil: // perhaps client.ErrMayHaveRun: the replier went away without an answer
		return "", err
	}
	return string(reply.Data), nil
}

func hear(ctx context.Context, bus *client.Bus) (string, error) {
	news, err := bus.Listen(ctx, client.ListenConfig{Names: []string{"$.Weather.*"}})
	if err != nil {
		return "", err
	}
	defer news.Close()
	if _, err := bus.Send(ctx, &kbusdev.Message{Name: "$.Weather.Rain", Data: []byte("from noon")}); err != nil {
		return "", err
	}
	m, err := news.Recv() // it hears itself too
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

// What the README shows.
func Example_readme() {
	withBus(func(ctx context.Context, bus *client.Bus) error {
		fmt.Println(hear(ctx, bus))
		_, err := ask(ctx, bus)
		fmt.Println(err)

		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		over := make(chan error)
		go func() { over <- clock(ctx, bus) }()
		for ctx.Err() == nil {
			noon, err := ask(ctx, bus)
			if err == nil {
				fmt.Println(noon)
				break
			}
			if !errors.Is(err, client.ErrNeverRan) {
				return err
			}
		}
		cancel()
		fmt.Println(errors.Is(<-over, context.Canceled))
		return nil
	})
	// Output:
	// from noon <nil>
	// it is safe to ask again: no replier is bound to $.Clock.Now on this bus
	// noon
	// true
}

// The README shows these functions as they are.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || ast.IsExported(fn.Name.Name) {
			continue
		}
		if text := string(source[files.Position(fn.Pos()).Offset:files.Position(fn.End()).Offset]); !strings.Contains(string(page), text) {
			t.Errorf("the README does not show\n%s", text)
		}
	}
}

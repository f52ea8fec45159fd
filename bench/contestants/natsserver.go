package contestants

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const natsRole = "nats-server"

// playNATS has the arguments hub, address for programs, address for leaves; leaf, address
// for programs, address of the hub; or leaves, count, address of the hub.
func playNATS(args []string) error {
	what, first, hub := args[0], args[1], args[2]
	var servers []*server.Server
	start := func(programs string, isHub bool) error {
		opts, err := natsOptions(len(servers), programs, hub, isHub)
		if err != nil {
			return err
		}
		s, err := server.NewServer(opts)
		if err != nil {
			return err
		}
		servers = append(servers, s)
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			return errors.New("the server is not ready after 10 s")
		}
		return nil
	}
	n := 1
	if what == "leaves" {
		var err error
		if n, err = strconv.Atoi(first); err != nil {
			return err
		}
		first = "127.0.0.1:-1" // each where it likes
	}
	for range n {
		if err := start(first, what == "hub"); err != nil {
			return err
		}
	}
	if what != "hub" {
		if err := waitLeaves(servers); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(os.Stdout, ready); err != nil {
		return err
	}
	servers[0].WaitForShutdown()
	return nil
}

func natsOptions(i int, programs, leaves string, hub bool) (*server.Options, error) {
	opts := &server.Options{ServerName: fmt.Sprintf("%d-%d", os.Getpid(), i), NoLog: true, NoSigs: true}
	var err error
	if opts.Host, opts.Port, err = hostPort(programs); err != nil {
		return nil, err
	}
	if hub {
		opts.LeafNode.Host, opts.LeafNode.Port, err = hostPort(leaves)
		return opts, err
	}
	opts.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: leaves}}}}
	return opts, nil
}

func hostPort(address string) (host string, port int, err error) {
	host, word, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(word)
	return host, port, err
}

// waitLeaves waits until each server has its leaf link.
func waitLeaves(servers []*server.Server) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for i := 0; i < len(servers); {
		if servers[i].NumLeafNodes() > 0 {
			i++
			continue
		}
		select {
		case <-look.C:
		case <-late:
			return fmt.Errorf("%d of %d leaf links are up after 30 s", i, len(servers))
		}
	}
	return nil
}

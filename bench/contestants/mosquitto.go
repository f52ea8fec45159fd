package contestants

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// mosquitto is two mosquitto brokers, of which the far one has a bridge to the near one.
type mosquitto struct{}

func (*mosquitto) Name() string { return "mosquitto-bridge" }

func (*mosquitto) About() string {
	version := "mosquitto"
	if path, err := mosquittoPath(); err == nil {
		help, _ := exec.CommandContext(context.Background(), path, "-h").Output() // it exits with 3
		if found := regexp.MustCompile(`mosquitto version \S+`).Find(help); found != nil {
			version = string(found)
		}
	}
	return fmt.Sprintf("two brokers, %s, with a bridge; programs by paho.mqtt.golang; QoS 0, all over tcp", version)
}

// mosquittoPath returns where the broker is: Debian has it where only root looks.
func mosquittoPath() (string, error) {
	for _, path := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", errors.New("mosquitto is not installed; try: apt-get install mosquitto")
}

func (*mosquitto) Check(*contest.Setup) error {
	_, err := mosquittoPath()
	return err
}

func (*mosquitto) Traits() contest.Traits { return contest.Traits{Names: true} }

func (*mosquitto) Start(ctx context.Context, s *contest.Stage) (places contest.Places, err error) {
	path, err := mosquittoPath()
	if err != nil {
		return places, err
	}
	for side := range places {
		if places[side], err = contest.FreePort(); err != nil {
			return places, err
		}
		bridge := ""
		if side == int(contest.Far) {
			bridge = fmt.Sprintf(bridgeConfig, places[contest.Near])
		}
		file := filepath.Join(s.Dir, fmt.Sprintf("mosquitto%d.conf", side))
		if err := writeMosquitto(file, places[side], bridge); err != nil {
			return places, err
		}
		if err := s.Run(exec.CommandContext(ctx, path, "-c", file)); err != nil {
			return places, err
		}
		if err := s.Await(ctx, tcp, places[side]); err != nil {
			return places, err
		}
	}
	return places, nil
}

// The queues have no bound in messages, so that nothing is dropped that the programs keep
// within bounds. The user stays the same, as the kernel would forget else that the process
// is to die with this one.
const (
	brokerConfig = `listener %s %s
allow_anonymous true
user %s
persistence false
log_type error
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
%s`
	bridgeConfig = `connection near
address %s
topic # both 0
notifications false
restart_timeout 1
`
)

func writeMosquitto(file, address, bridge string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("configuring mosquitto: %w", err)
	}
	return os.WriteFile(file, fmt.Appendf(nil, brokerConfig, port, host, me.Username, bridge), 0o600)
}

func (*mosquitto) Join(_ context.Context, _ contest.Side, place string) (contest.Bus, error) {
	return mqttBus(place), nil
}

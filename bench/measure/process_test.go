package measure

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// The clock of a process beside what wait4 says of it in the end.
func TestCPUOfAnotherProcess(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo done; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	got, err := CPU(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	_ = cmd.Wait()
	total := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if got <= 0 || got > total+time.Millisecond || got < total/2 {
		t.Errorf("%v while it ran, %v in the end", got, total)
	}
	if _, err := CPU(cmd.Process.Pid); err == nil {
		t.Error("a process that is gone has a CPU time")
	}
}

func TestRSS(t *testing.T) {
	m, err := RSS(os.Getpid())
	if err != nil || m.Resident < 1<<20 || m.Peak < m.Resident {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := RSS(1 << 30); err == nil {
		t.Error("no process has memory")
	}
}

func TestParseStatus(t *testing.T) {
	m, err := parseStatus("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n")
	if err != nil || m != (Memory{Resident: 1 << 20, Peak: 2 << 20}) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", "VmRSS:\t1 kB\n", "VmRSS:\tx kB\nVmHWM:\t1 kB\n"} {
		if m, err := parseStatus(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, m)
		}
	}
}

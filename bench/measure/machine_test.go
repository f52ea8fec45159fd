package measure

import "testing"

func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	if m.Cores < 1 || m.CPU == "" || m.Kernel == "unknown" || m.Load == "unknown" || m.Go == "" {
		t.Errorf("%+v", m)
	}
	if got := cpuModel("processor\t: 0\nmodel name\t: A B: C\n"); got != "A B: C" {
		t.Errorf("the model is %q", got)
	}
	if got := cpuModel("processor\t: 0\n"); got != "unknown" {
		t.Errorf("the model is %q", got)
	}
}

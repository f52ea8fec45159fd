package web

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var services = []string{pb.BusService_ServiceDesc.ServiceName, pb.AdminService_ServiceDesc.ServiceName, healthpb.Health_ServiceDesc.ServiceName}

// acts are the methods that do more than look, or look at data. A new method must be in either
// list.
var acts = []string{
	pb.BusService_Send_FullMethodName, pb.BusService_Call_FullMethodName, pb.BusService_Listen_FullMethodName,
	pb.BusService_Serve_FullMethodName, pb.BusService_Attach_FullMethodName,
	pb.AdminService_DrainLink_FullMethodName, pb.AdminService_Reload_FullMethodName, pb.AdminService_Profile_FullMethodName,
}

// Of each method it was decided whether who is unknown may call it.
func TestLooks(t *testing.T) {
	methods, err := methodsOf(services)
	if err != nil {
		t.Fatal(err)
	}
	act := make(map[string]bool)
	for _, name := range acts {
		act[name] = true
	}
	for name := range methods {
		if _, look := looks[name]; look == act[name] {
			t.Errorf("%s must be among looks, or among acts", name)
		}
	}
	for name := range looks {
		if methods[name] == nil {
			t.Errorf("there is no method %s", name)
		}
	}
	if onlyLooks(pb.AdminService_Tap_FullMethodName, &pb.TapRequest{MaxData: 1}) || !onlyLooks(pb.AdminService_Tap_FullMethodName, &pb.TapRequest{}) {
		t.Error("a tap looks if it wants no data")
	}
	if _, err := methodsOf([]string{"kbus.limpet.v1.None"}); err == nil {
		t.Error("a service that is none is taken")
	}
}

var (
	called  = regexp.MustCompile(`'((?:Admin|Bus)Service/\w+)'`)
	makes   = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style=|javascript:`)
	outside = regexp.MustCompile(`(?:https?:)?//[a-z0-9-]+\.[a-z]`)
)

// The page asks for what there is, makes no HTML from text, and needs nothing from elsewhere.
func TestPage(t *testing.T) {
	methods, err := methodsOf(services)
	if err != nil {
		t.Fatal(err)
	}
	calls, size := 0, 0
	err = fs.WalkDir(files, "page", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		size += len(text)
		for _, m := range called.FindAllStringSubmatch(string(text), -1) {
			calls++
			if methods["/kbus.limpet.v1."+m[1]] == nil {
				t.Errorf("%s calls %s, which is not there", path, m[1])
			}
		}
		for _, bad := range makes.FindAllString(string(text), -1) {
			t.Errorf("%s has %q", path, bad)
		}
		for _, at := range outside.FindAllString(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""), -1) {
			t.Errorf("%s leads elsewhere: %q", path, at)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < 8 || size > 128<<10 {
		t.Errorf("the page calls %d methods, and has %d bytes", calls, size)
	}
}

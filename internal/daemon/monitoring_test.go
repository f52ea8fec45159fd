package daemon_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const monitoring = "../../monitoring/"

// testMonitoring holds the files for Prometheus and Grafana against what two daemons print;
// text is the page of one.
func testMonitoring(t *testing.T, a, b page, text string) {
	rules, dashboard := alertExprs(t), dashboardExprs(t)
	for from, exprs := range map[string]map[string]string{"alerts.yaml": rules, "dashboard.json": dashboard} {
		for title, expr := range exprs {
			for _, fault := range faultsOf(expr, a, b) {
				t.Errorf("%s, %s: %s", from, title, fault)
			}
		}
	}
	checkAlerts(t, slices.Collect(maps.Keys(rules)))

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool, which Debian's package prometheus has")
	}
	run := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir, cmd.Stdin = monitoring, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	run("", "check", "rules", "alerts.yaml")
	if os.Getenv("LIMPET_TEST") == "long" { // it takes some seconds
		run("", "test", "rules", "alerts_test.yaml")
	}
	run(text, "check", "metrics")
	run("", "check", "rules", asRules(t, dashboard))
}

// An alerting rule, as far as it matters here.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func readAlerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	read(t, monitoring+"alerts.yaml", yaml.Unmarshal, &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func read(t *testing.T, path string, parse func([]byte, any) error, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = parse(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func alertExprs(t *testing.T) map[string]string {
	exprs := make(map[string]string)
	for _, a := range readAlerts(t) {
		exprs[a.Alert] = a.Expr
	}
	return exprs
}

// checkAlerts checks that each alert tells what it is, has its section in docs/alerts.md, and
// a test in which it fires and one in which it does not.
func checkAlerts(t *testing.T, names []string) {
	t.Helper()
	docs, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	read(t, monitoring+"alerts_test.yaml", yaml.Unmarshal, &tests)
	fires, quiet := make(map[string]bool), make(map[string]bool)
	for _, x := range tests.Tests {
		for _, c := range x.AlertRuleTest {
			if len(c.ExpAlerts) > 0 {
				fires[c.Alertname] = true
			} else {
				quiet[c.Alertname] = true
			}
		}
	}
	for _, a := range readAlerts(t) {
		switch {
		case a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.Labels["severity"] == "":
			t.Errorf("%s has no summary, description or severity", a.Alert)
		case a.Annotations["runbook"] != "docs/alerts.md#"+strings.ToLower(a.Alert) || !strings.Contains(string(docs), "\n## "+a.Alert+"\n"):
			t.Errorf("%s has no section in docs/alerts.md, or says another one", a.Alert)
		case !fires[a.Alert] || !quiet[a.Alert]:
			t.Errorf("alerts_test.yaml has no test in which %s fires, or none in which it does not", a.Alert)
		}
	}
	if len(names) < 10 {
		t.Errorf("there are %d alerts", len(names))
	}
}

// dashboardExprs returns the expressions by the title of their panels, and those of the
// variables. It checks that the panels do not lie on each other, and have data.
func dashboardExprs(t *testing.T) map[string]string {
	t.Helper()
	type target struct{ RefID, Expr string }
	var d struct {
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []target
		}
		Templating struct {
			List []struct {
				Name       string
				Type       string
				Definition string
			}
		}
	}
	read(t, monitoring+"dashboard.json", json.Unmarshal, &d)
	exprs, ids, taken := make(map[string]string), make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q has no title, the id of another, no data, or is too wide", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("panels %q and %q lie on each other", other, p.Title)
				}
				taken[at] = p.Title
			}
		}
		for _, q := range p.Targets {
			exprs[p.Title+" "+q.RefID] = variables.Replace(q.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			exprs["variable "+v.Name] = variables.Replace("group by (" + m[2] + ") (" + m[1] + ")")
		} else if v.Type == "query" {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
		}
	}
	for _, want := range []string{"variable instance", "variable link"} {
		if exprs[want] == "" {
			t.Errorf("the dashboard has no %s", want)
		}
	}
	return exprs
}

var (
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	variables   = strings.NewReplacer("$__rate_interval", "5m", "$instance", "a", "$link", "b", "$direction", "from_bus")
)

// asRules returns a file with the expressions as recording rules, whose syntax promtool checks.
func asRules(t *testing.T, exprs map[string]string) string {
	t.Helper()
	type rule struct {
		Record string            `yaml:"record"`
		Expr   string            `yaml:"expr"`
		Labels map[string]string `yaml:"labels"`
	}
	var all []rule
	for title, expr := range exprs {
		all = append(all, rule{"dashboard", expr, map[string]string{"panel": title}})
	}
	data, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

var (
	quoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	selector = regexp.MustCompile(`\{[^}]*\}`)
	between  = regexp.MustCompile(`\[[^\]]*\]`)
	grouping = regexp.MustCompile(`\b(by|on|ignoring|without|group_left|group_right) *\(([^)]*)\)`)
	word     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	matcher  = regexp.MustCompile(`(\w+) *(=~|!~|!=|=)`)
	number   = regexp.MustCompile(`\b[0-9][0-9.a-z]*\b`)
)

// Words of expressions that are no metrics: all others must be. madeByPrometheus are made at
// a scrape, with these labels more than are printed.
var (
	language         = []string{"and", "unless", "sum", "group", "rate", "increase", "changes", "time", "histogram_quantile"}
	madeByPrometheus = []string{"up"}
	targetLabels     = []string{"instance", "job", "le"}
)

// faultsOf returns which metrics of an expression no daemon prints, and which labels none of
// its metrics has.
func faultsOf(expr string, pages ...page) (faults []string) {
	bare := quoted.ReplaceAllString(expr, `""`)
	var labels []string
	for _, s := range selector.FindAllString(bare, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s, -1) {
			labels = append(labels, m[1])
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(bare, -1) {
		labels = append(labels, word.FindAllString(m[2], -1)...)
	}
	bare = grouping.ReplaceAllString(between.ReplaceAllString(selector.ReplaceAllString(bare, ""), ""), "")
	known := slices.Clone(targetLabels)
	metrics := 0
	for _, name := range word.FindAllString(number.ReplaceAllString(bare, ""), -1) {
		if slices.Contains(language, name) {
			continue
		}
		metrics++
		printed := slices.Contains(madeByPrometheus, name)
		for _, p := range pages {
			if own, ok := p.labels[p.family(name)]; ok {
				printed, known = true, append(known, own...)
			}
		}
		if !printed {
			faults = append(faults, "nobody prints "+name)
		}
	}
	if metrics == 0 {
		faults = append(faults, "there is no metric in "+expr)
	}
	for _, l := range labels {
		if !slices.Contains(known, l) {
			faults = append(faults, "no metric of "+expr+" has the label "+l)
		}
	}
	return faults
}

// The check of expressions finds what is wrong.
func TestFaultsOfExpressions(t *testing.T) {
	p := page{
		types:  map[string]string{"limpet_a_total": "counter", "limpet_h": "histogram"},
		labels: map[string][]string{"limpet_a_total": {"link"}, "limpet_h": {"link"}},
	}
	for expr, want := range map[string]int{
		`rate(limpet_a_total{link=~"no_metric"}[5m]) > 1e3 and on (instance, link) up == 0`:    0,
		`histogram_quantile(0.99, sum by (link, le) (rate(limpet_h_bucket{job="x"}[5m]))) > 1`: 0,
		`rate(limpet_b_total[5m])`:            1,
		`rate(limpet_a_total{bus="x"}[5m])`:   1,
		`sum by (bus) (limpet_a_total)`:       1,
		`sum by (link) (limpet_a_total) / no`: 1,
		`1 > 0`:                               1,
	} {
		if got := faultsOf(expr, p); len(got) != want {
			t.Errorf("%s has the faults %q", expr, got)
		}
	}
}

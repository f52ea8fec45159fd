package measure

import (
	"testing"
	"time"
)

func sample(contestant string, round int, arrived uint64, cpu time.Duration) Sample {
	return Sample{
		Contestant: contestant, Work: "w", Round: round, Sent: 1000, Arrived: arrived,
		Elapsed: time.Second, CPU: cpu, P50: time.Duration(round) * time.Millisecond, Idle: 10, Peak: uint64(round),
	}
}

func TestRows(t *testing.T) {
	samples := []Sample{
		sample("a", 1, 1000, time.Millisecond),
		sample("b", 1, 500, time.Millisecond),
		sample("a", 2, 400, 4*time.Millisecond),
		{Contestant: "a", Work: "w", Round: 3, Error: "it broke", Arrived: 1 << 40},
		sample("a", 4, 800, 8*time.Millisecond),
	}
	rows := Rows(samples)
	if len(rows) != 2 || rows[0].Contestant != "a" || rows[1].Contestant != "b" {
		t.Fatalf("%+v", rows)
	}
	a := rows[0]
	if a.Rounds != 3 || a.Error != "it broke" || a.Rate != 800 || a.CPUMicros != 10 || a.RateSpread != 0.75 ||
		a.P50 != 2*time.Millisecond || a.Idle != 10 || a.Peak != 2 || a.Sent != 3000 || a.Lost != 800 {
		t.Errorf("%+v", a)
	}
}

func TestRowWithoutAGoodRound(t *testing.T) {
	rows := Rows([]Sample{{Contestant: "a", Work: "w", Error: "no"}})
	if len(rows) != 1 || rows[0].Rounds != 0 || rows[0].Error != "no" || rows[0].Rate != 0 {
		t.Errorf("%+v", rows)
	}
}

// Ratios are of the same round: a round in which the whole machine was slow does not
// count against one of the two.
func TestRatioIsByRound(t *testing.T) {
	samples := []Sample{
		sample("a", 1, 1000, 0), sample("b", 1, 500, 0),
		sample("a", 2, 100, 0), sample("b", 2, 50, 0),
		sample("a", 3, 900, 0), {Contestant: "b", Work: "w", Round: 3, Error: "no"},
	}
	if r := Ratio(samples, "w", "a", "b", (*Sample).Rate); r != 2 {
		t.Errorf("a by b is %v", r)
	}
	if r := Ratio(samples, "w", "a", "c", (*Sample).Rate); r != 0 {
		t.Errorf("a by nobody is %v", r)
	}
}

func TestNothingArrived(t *testing.T) {
	s := Sample{Sent: 5}
	if s.Rate() != 0 || s.CPUMicros() != 0 || s.Lost() != 5 {
		t.Errorf("%v %v %v", s.Rate(), s.CPUMicros(), s.Lost())
	}
}

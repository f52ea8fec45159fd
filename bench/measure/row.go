package measure

import "time"

// A Row is the medians of one contestant's samples of one work, each over the rounds that
// succeeded.
type Row struct {
	Contestant, Work string
	// Rounds is how many succeeded; Error is why one did not, or "".
	Rounds int
	Error  string
	// Rate is in messages a second, CPUMicros in microseconds for each message. The
	// spreads are as by Spread.
	Rate, RateSpread, CPUMicros, CPUSpread float64
	P50, P99, P999, StartUp                time.Duration
	// Idle and Peak are in bytes.
	Idle, Peak float64
	// Sent and Lost are sums over the rounds.
	Sent uint64
	Lost int64
}

// Rows returns a row for each work and contestant, in the order in which they first come
// in the samples.
func Rows(samples []Sample) []Row {
	type key struct{ work, contestant string }
	var order []key
	groups := make(map[key][]Sample)
	for _, s := range samples {
		k := key{s.Work, s.Contestant}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], s)
	}
	rows := make([]Row, 0, len(order))
	for _, k := range order {
		rows = append(rows, newRow(k.contestant, k.work, groups[k]))
	}
	return rows
}

func newRow(contestant, work string, samples []Sample) Row {
	r := Row{Contestant: contestant, Work: work}
	var good []Sample
	for _, s := range samples {
		if s.Error != "" {
			r.Error = s.Error
			continue
		}
		good = append(good, s)
		r.Sent += s.Sent
		r.Lost += s.Lost()
	}
	r.Rounds = len(good)
	each := func(value func(*Sample) float64) (all []float64) {
		for i := range good {
			all = append(all, value(&good[i]))
		}
		return all
	}
	rates, cpus := each((*Sample).Rate), each((*Sample).CPUMicros)
	r.Rate, r.CPUMicros = Median(rates), Median(cpus)
	if len(good) > 0 {
		r.RateSpread, r.CPUSpread = Spread(rates), Spread(cpus)
	}
	duration := func(of func(*Sample) time.Duration) time.Duration {
		return time.Duration(Median(each(func(s *Sample) float64 { return float64(of(s)) })))
	}
	r.P50 = duration(func(s *Sample) time.Duration { return s.P50 })
	r.P99 = duration(func(s *Sample) time.Duration { return s.P99 })
	r.P999 = duration(func(s *Sample) time.Duration { return s.P999 })
	r.StartUp = duration(func(s *Sample) time.Duration { return s.StartUp })
	r.Idle = Median(each(func(s *Sample) float64 { return float64(s.Idle) }))
	r.Peak = Median(each(func(s *Sample) float64 { return float64(s.Peak) }))
	return r
}

// Ratio returns the median, over the rounds in which both contestants succeeded at the
// work, of one's value by the other's; 0 if there is no such round.
func Ratio(samples []Sample, work, contestant, to string, value func(*Sample) float64) float64 {
	of := make(map[int][2]float64)
	for i := range samples {
		s := &samples[i]
		if s.Work != work || s.Error != "" {
			continue
		}
		pair := of[s.Round]
		if s.Contestant == contestant {
			pair[0] = value(s)
		}
		if s.Contestant == to {
			pair[1] = value(s)
		}
		of[s.Round] = pair
	}
	var ratios []float64
	for _, pair := range of {
		if pair[0] > 0 && pair[1] > 0 {
			ratios = append(ratios, pair[0]/pair[1])
		}
	}
	return Median(ratios)
}

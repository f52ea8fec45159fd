module github.com/kbus-limpet/limpet/bench

go 1.26.0

replace github.com/kbus-limpet/limpet => ../

require golang.org/x/sys v0.49.0

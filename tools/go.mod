// Module tools pins the programs that format, lint, generate and measure, apart
// from the main module so that none of them weighs on its users.
module github.com/kbus-limpet/limpet/tools

go 1.26

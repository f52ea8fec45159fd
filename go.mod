module github.com/kbus-limpet/limpet

go 1.26

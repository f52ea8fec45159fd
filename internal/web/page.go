package web

import "embed"

// files are the page, as the browser gets it: nothing is built, and nothing comes from
// elsewhere.
//
//go:embed page
var files embed.FS

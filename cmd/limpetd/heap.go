package main

import "os"

// heapFloor returns memory that is never touched, and so takes none of the machine's, but
// counts as heap. The collector runs when the heap has doubled: that of a limpetd is a few
// mebibytes, so that under load it would run a hundred times a second, and cost a third of
// the CPU. GOGC in the environment has the last word.
func heapFloor() []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, 16<<20)
}

package explain

// Links returns of how many links something is remembered.
func (d *Desk) Links() int { return len(d.links) }

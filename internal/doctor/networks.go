package doctor

import (
	"fmt"
	"strings"
)

// maxVersions is how many networks a finding names.
const maxVersions = 4

// networks judges the versions behind the links' peers; those of the peers are the links'.
func (e *examination) networks() {
	others := make(map[string][]string) // by the link
	var links []string
	for _, n := range e.Networks {
		if v := n.GetVersion(); n.GetBehind() && v != "" && v != e.Last.GetVersion() {
			if others[n.GetLink()] == nil {
				links = append(links, n.GetLink())
			}
			others[n.GetLink()] = append(others[n.GetLink()], fmt.Sprintf("%d is %s", n.GetNetworkId(), v))
		}
	}
	for _, link := range links {
		all := others[link]
		more := ""
		if n := len(all) - maxVersions; n > 0 {
			all, more = all[:maxVersions], fmt.Sprintf(", and %d others", n)
		}
		e.find("L074", Note, link, "install the same version everywhere, when it suits you; limpetctl version --all lists them",
			"behind the peer are other versions of limpetd than %s: network %s%s", e.Last.GetVersion(), strings.Join(all, ", "), more)
	}
}

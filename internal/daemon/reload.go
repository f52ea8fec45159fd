package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/identity"
)

// ErrNoReload is why a daemon that was given its configuration once cannot read it again.
var ErrNoReload = errors.New("this daemon was not started with a configuration that can be read again")

// Reload reads the configuration again, and makes the daemon what it says: all of it, or,
// with an error, nothing. Links that are the same in both stay up. Those that are removed
// or changed are drained first, which takes at most their drain timeout; those that are
// changed begin anew. With dry only what would change is returned. A wrong configuration
// is a *ConfigError. It may be called by many goroutines: one after the other is served.
func (d *Daemon) Reload(ctx context.Context, dry bool) ([]Change, error) {
	return d.reload(ctx, dry, bySignal)
}

// bySignal is who has the configuration read again if it is nobody who has called the API.
const bySignal = "SIGHUP"

// reload is Reload, for somebody, by whose name it is logged.
func (d *Daemon) reload(ctx context.Context, dry bool, by string) ([]Change, error) {
	if d.cfg.Load == nil {
		return nil, ErrNoReload
	}
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.runs == nil {
		return nil, errNotRunning
	}
	if dry {
		return d.renew(ctx, true)
	}
	begins := d.events.Next()
	changes, err := d.renew(ctx, false)
	d.reloads.note(err)
	if err != nil {
		d.cfg.Log.Error("the configuration is not reloaded; everything stays as it was", "by", by, "reason", err)
		return nil, err
	}
	d.sayReloaded(changes, by)
	d.events.Reloaded(begins)
	return changes, nil
}

// renew does what Reload does. d.reloading is held.
func (d *Daemon) renew(ctx context.Context, dry bool) ([]Change, error) {
	to, err := d.cfg.Load()
	if err != nil {
		return nil, err
	}
	changes, err := Compare(&d.cfg, &to)
	if err != nil || dry {
		return changes, err
	}
	return changes, d.become(ctx, &to, changes)
}

// sayReloaded logs what a reload has changed, by the more talkative one of the levels before
// and after it.
func (d *Daemon) sayReloaded(changes []Change, by string) {
	log := d.cfg.Log
	if v := d.cfg.LevelVar; v != nil {
		v.Set(min(v.Level(), d.cfg.Level))
		defer v.Set(d.cfg.Level)
	}
	for _, c := range changes {
		log.Info("configuration changed", "what", c.What, "before", c.Before, "after", c.After)
	}
	log.Info("configuration reloaded", "by", by, "changes", len(changes))
}

var errNotRunning = errors.New("the daemon is stopping, or not running yet")

// A run is what Run lends to Reload, which starts links.
type run struct {
	ctx  context.Context // links are dialled until it ends
	fail context.CancelCauseFunc
}

// become applies changes. d.reloading is held.
func (d *Daemon) become(ctx context.Context, to *Config, changes []Change) error {
	wanted := make(map[string]LinkConfig)
	for _, c := range to.resolved() {
		wanted[c.Title()] = c
	}
	added, err := d.openAdded(ctx, wanted, changes) // first, for it can fail
	if err != nil {
		return err
	}
	changed, err := d.changedTLS(wanted, changes)
	if err == nil {
		err = d.setRules(to.Rules, to.Tests, append(slices.Clone(to.Links), gone(d.cfg.Links, wanted)...)) // which Validate has looked at
	}
	if err != nil {
		closeLinks(added)
		return err
	}
	d.cfg.Links, d.cfg.Limpet, d.cfg.Level, d.cfg.Rules, d.cfg.Tests = to.Links, to.Limpet, to.Level, to.Rules, to.Tests
	d.shown.Store(&to.Shown)
	d.api.health.Started(d.cfg.dialled())
	d.sayInsecure()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.drainTimeout()+drainMargin) // all or nothing, whoever asked
	defer cancel()
	defer context.AfterFunc(d.runs.ctx, cancel)()
	var ending sync.WaitGroup
	for _, ch := range changes {
		l := d.linked.get(ch.What)
		c, stays := wanted[ch.What]
		switch {
		case l == nil: // added, or no link
		case !stays:
			ending.Go(func() {
				d.endLink(ctx, l, "the link is no longer configured")
				d.linked.remove(l) // only now, so that a peer that it has just let in is drained as its own
			})
		case c.Listen:
			l.cfg.Store(&c)
			l.tls.Store(changed[ch.What])
			ending.Go(func() { d.closeAccepted(ctx, l, "the settings of the link have changed") })
		default:
			again := new(configuredLink)
			again.cfg.Store(&c)
			again.tls.Store(changed[ch.What])
			added = append(added, again)
			ending.Go(func() { d.endLink(ctx, l, "the settings of the link have changed") })
		}
	}
	ending.Wait()
	if err := d.SetRules(to.Rules, to.Tests); err != nil { // now without those of links that are gone
		return err
	}
	for _, l := range added {
		d.linked.put(l)
		d.startLink(d.runs.ctx, l, d.runs.fail)
	}
	return nil
}

// gone returns the links that are wanted no more. Their rules hold until they have ended.
func gone(links []LinkConfig, wanted map[string]LinkConfig) []LinkConfig {
	return slices.DeleteFunc(slices.Clone(links), func(c LinkConfig) bool { _, stays := wanted[c.Title()]; return stays })
}

// changedTLS returns the TLS of the links that change, by their titles.
func (d *Daemon) changedTLS(wanted map[string]LinkConfig, changes []Change) (map[string]*identity.TLS, error) {
	all := make(map[string]*identity.TLS)
	for _, ch := range changes {
		c, isLink := wanted[ch.What]
		if !isLink || ch.Before == "" {
			continue
		}
		t, err := d.tlsOf(&c)
		if err != nil {
			return nil, err
		}
		all[ch.What] = t
	}
	return all, nil
}

// openAdded opens the links that are new, or none: the error is a *ConfigError then.
func (d *Daemon) openAdded(ctx context.Context, wanted map[string]LinkConfig, changes []Change) (added []*configuredLink, err error) {
	group, _, err := d.cfg.groups()
	if err != nil {
		return nil, err
	}
	for _, ch := range changes {
		c, isLink := wanted[ch.What]
		if !isLink || ch.Before != "" {
			continue
		}
		l, err := d.openLink(ctx, c, group)
		if err != nil {
			closeLinks(added)
			return nil, &ConfigError{"", err}
		}
		added = append(added, l)
	}
	return added, nil
}

func closeLinks(all []*configuredLink) {
	for _, l := range all {
		l.close()
	}
}

// reloadFor is Reload for AdminService.
func (d *Daemon) reloadFor(ctx context.Context, dry bool) ([]*pb.ConfigChange, error) {
	changes, err := d.reload(ctx, dry, d.cfg.IdentityOf(ctx).String())
	out := make([]*pb.ConfigChange, len(changes))
	for i, c := range changes {
		out[i] = &pb.ConfigChange{What: c.What, Before: c.Before, After: c.After}
	}
	return out, err
}

package bus

import (
	"context"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// identity returns who makes a call.
func (s *Service) identity(ctx context.Context) rules.Identity {
	if s.IdentityOf == nil {
		return rules.Identity{}
	}
	return s.IdentityOf(ctx)
}

func (s *Service) policyOf(id rules.Identity) *rules.Policy {
	if s.PolicyOf == nil {
		return nil
	}
	return s.PolicyOf(id)
}

// policy returns what the caller may do.
func (s *Service) policy(ctx context.Context) *rules.Policy { return s.policyOf(s.identity(ctx)) }

// RulesOf returns what the program with a Ksock may do; nil is everything, and for a Ksock
// that is no program's.
func (s *Service) RulesOf(k kbusdev.KsockID) *rules.Policy {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.ksocks[k]; j != nil {
		return j.policy.Load()
	}
	return nil
}

// Denied returns how many messages and bindings of programs the rules have refused so far.
func (s *Service) Denied() uint64 { return s.denied.Load() }

// DeniedMessages returns how many of them were messages.
func (s *Service) DeniedMessages() uint64 { return s.deniedMessages.Load() }

// RulesChanged has the programs go on by other rules: it is called when PolicyOf has other
// answers. What a program may no longer be the replier of is unbound. Calls that watch
// bindings, and may know of others now, begin again.
func (s *Service) RulesChanged() {
	s.mu.Lock()
	changed := make(map[kbusdev.KsockID]*judged)
	for id, k := range s.ksocks {
		was := k.policy.Load()
		k.setPolicy(s.policyOf(k.identity))
		if now := k.policy.Load(); now != nil && !now.Equal(was) {
			changed[id] = k
		}
	}
	for x := range s.watchers {
		if !s.policyOf(x.identity).Equal(x.policy) {
			x.stale()
		}
	}
	s.mu.Unlock()
	if len(changed) == 0 {
		return
	}
	all, err := s.bus.Bindings()
	if err != nil { // not every device can list them; nobody is asked whom the rules do not let ask
		return
	}
	for _, b := range all {
		if k := changed[b.Ksock]; k != nil && b.Role == kbusdev.Replier && !k.policy.Load().Binds(b.Name, b.Role) {
			_ = k.Unbind(b.Name, b.Role) // the program may have done that, or be gone
		}
	}
}

package proxy

import "pollbridge/poller"

// Rules returns the status of every rule, in the order of the configuration,
// also of those for which nothing was polled yet.
func (p *Proxy) Rules() []poller.RuleStatus {
	known := p.poller.Rules()
	var rules []poller.RuleStatus
	for _, e := range p.routes.Load().endpoints {
		s := known[e.rule.Name]
		s.Rule = e.rule.Name
		rules = append(rules, s)
	}
	return rules
}

// Poller is what polls for the proxy: its resources are what there is to see.
func (p *Proxy) Poller() *poller.Poller { return p.poller }

package proxy

import "pollbridge/poller"

// Rules returns the status of every rule, in the order of the configuration,
// also of those for which nothing was polled yet.
func (p *Proxy) Rules() []poller.RuleStatus {
	known := p.poller.Rules()
	var rules []poller.RuleStatus
	for _, e := range p.now().endpoints {
		s := known[e.rule.Name]
		s.Rule, s.Interval = e.rule.Name, e.rule.Interval
		rules = append(rules, s)
	}
	return rules
}

// Resources returns a part of the list of what is polled at present, and how
// long the list is.
func (p *Proxy) Resources(s poller.Selection) ([]poller.ResourceStatus, int) {
	return p.poller.Resources(s)
}

// Resource returns one of these; see [poller.Poller.Resource].
func (p *Proxy) Resource(id string, documents bool) (poller.Resource, bool) {
	return p.poller.Resource(id, documents)
}

// Poller is what polls for the proxy.
func (p *Proxy) Poller() *poller.Poller { return p.poller }

package demo

import (
	"fmt"
	"slices"
	"time"
)

// alert is something riders should know: a station closed, a bike or a dock
// broken. It lasts until ends.
type alert struct {
	id       string
	kind     string // "STATION_CLOSURE", "BROKEN_BIKE" or "BROKEN_DOCK"
	severity string
	station  *station
	title    string
	started  time.Time
	ends     time.Time
}

var closures = []string{
	"Closed for a street market", "Closed: no power", "Closed for roadworks", "Closed: fire brigade at work",
	"Closed for a film shoot", "Closed: dock controller offline",
}

// fault breaks something somewhere.
func (c *city) fault() {
	s := pick(c.rng, c.stations)
	if s.closed {
		return
	}
	a := &alert{station: s, started: c.at, ends: c.at.Add(c.between(15*time.Second, 60*time.Second))}
	switch n := c.rng.IntN(4); {
	case n < 2:
		a.kind, a.severity, a.title = "STATION_CLOSURE", "severe", pick(c.rng, closures)
		s.closed = true
	case n == 2 && len(s.bikes) > 0:
		last := len(s.bikes) - 1
		a.kind, a.severity, a.title = "BROKEN_BIKE", "minor", fmt.Sprintf("Bike %d has a flat tyre", s.bikes[last])
		s.broken, s.bikes = append(s.broken, s.bikes[last]), s.bikes[:last]
	case s.freeDocks() > 0:
		a.kind, a.severity, a.title = "BROKEN_DOCK", "minor", "A dock does not lock"
		s.brokenDocks++
	default:
		return
	}
	c.issued++
	a.id = fmt.Sprintf("pm-%05d", c.issued)
	c.alerts = append(c.alerts, a)
	c.changed(s)
}

// repairs undoes the faults whose time is over.
func (c *city) repairs() {
	c.alerts = slices.DeleteFunc(c.alerts, func(a *alert) bool {
		over := !a.ends.After(c.at)
		if over {
			c.repair(a)
		}
		return over
	})
}

func (c *city) repair(a *alert) {
	s := a.station
	switch a.kind {
	case "STATION_CLOSURE":
		s.closed = false
	case "BROKEN_BIKE":
		s.bikes, s.broken = append(s.bikes, s.broken[0]), s.broken[1:]
	case "BROKEN_DOCK":
		s.brokenDocks--
	}
	c.changed(s)
}

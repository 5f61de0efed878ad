package demo

import (
	"math"
	"slices"
	"time"
)

// peak is a bell around an hour of the day, 1 at its top.
func peak(hour, at, width float64) float64 {
	d := (hour - at) / width
	return math.Exp(-d * d)
}

func morning(hour float64) float64 { return peak(hour, 8.3, 1.4) }
func evening(hour float64) float64 { return peak(hour, 17.5, 1.9) }

// departuresPerSecond is the mean rate of rides that begin, bursts aside.
func departuresPerSecond(hour float64) float64 {
	return 0.7 + 0.9*morning(hour) + 1.0*evening(hour) + 0.4*peak(hour, 13, 3)
}

// origin draws where a ride begins, and destination where it is meant to end:
// from home to work in the morning and back in the evening.
func (c *city) origin() *station {
	toWork, toHome := morning(c.hour()), evening(c.hour())
	return c.draw(func(r region) float64 { return 0.4 + toWork*r.home + toHome*r.work })
}

func (c *city) destination() *station {
	toWork, toHome := morning(c.hour()), evening(c.hour())
	return c.draw(func(r region) float64 { return 0.4 + toWork*r.work + toHome*r.home })
}

func (c *city) draw(weight func(region) float64) *station {
	var total float64
	for _, r := range regions {
		total += weight(r)
	}
	at := c.rng.Float64() * total
	for i, r := range regions {
		if at -= weight(r); at < 0 {
			return pick(c.rng, c.within[i])
		}
	}
	return pick(c.rng, c.stations)
}

// depart starts a ride, from the station nearest to from that has a bike, and
// returns it.
func (c *city) depart(from, to *station, rider *account) *trip {
	from = c.nearest(from, func(s *station) bool { return !s.closed && len(s.bikes) > 0 && s != to })
	last := len(from.bikes) - 1
	c.trips++
	t := &trip{
		id: c.trips, bike: from.bikes[last], from: from, to: to, rider: rider, started: c.at,
		km: math.Round(from.at.distance(to.at)*130+30) / 100,
	}
	minutes := 2.5 + t.km*3.2 + 2*c.rng.Float64()
	t.due = c.at.Add(time.Duration(minutes * float64(cityMinute)).Truncate(tick))
	from.bikes = from.bikes[:last]
	c.riding = append(c.riding, t)
	c.tallies[from.region].departures++
	c.changed(from)
	return t
}

// arrivals ends the rides that are due.
func (c *city) arrivals() {
	c.riding = slices.DeleteFunc(c.riding, func(t *trip) bool {
		due := !t.due.After(c.at)
		if due {
			c.arrive(t)
		}
		return due
	})
}

// arrive docks the bike where the rider meant to, or where the nearest free
// dock is.
func (c *city) arrive(t *trip) {
	t.to = c.nearest(t.to, func(s *station) bool { return !s.closed && s.freeDocks() > 0 })
	t.to.bikes = append(t.to.bikes, t.bike)
	c.tallies[t.to.region].arrivals++
	c.changed(t.to)
	c.recent = slices.Insert(c.recent, 0, t)[:min(len(c.recent)+1, recentTrips)]
	if t.rider != nil {
		t.rider.settle(t, c)
	}
}

// nearest is the station closest to s that will do; s itself when it does. The
// network has twice as many docks as bikes, so there always is one.
func (c *city) nearest(s *station, will func(*station) bool) *station {
	if will(s) {
		return s
	}
	best, least := s, math.Inf(1)
	for _, other := range c.stations {
		if d := other.at.distance(s.at); d < least && will(other) {
			best, least = other, d
		}
	}
	return best
}

// burst is what changes several stations in one instant: a train arrives, or a
// van has been round.
func (c *city) burst() {
	if c.rng.IntN(3) == 0 {
		c.van()
		return
	}
	for range 3 + c.rng.IntN(4) {
		near := &station{at: point{central.x + 0.3*c.rng.NormFloat64(), central.y + 0.3*c.rng.NormFloat64()}}
		c.depart(c.nearest(near, func(s *station) bool { return len(s.bikes) > 0 }), c.destination(), nil)
	}
}

// van takes bikes from the fullest of a few stations to the emptiest.
func (c *city) van() {
	full, empty := pick(c.rng, c.stations), pick(c.rng, c.stations)
	for range 20 {
		s := pick(c.rng, c.stations)
		switch {
		case s.closed:
		case len(s.bikes) > len(full.bikes):
			full = s
		case s.freeDocks() > empty.freeDocks():
			empty = s
		}
	}
	n := min(4+c.rng.IntN(6), len(full.bikes), empty.freeDocks())
	if n <= 0 || full == empty {
		return
	}
	kept := len(full.bikes) - n
	empty.bikes = append(empty.bikes, full.bikes[kept:]...)
	full.bikes = full.bikes[:kept]
	c.changed(full)
	c.changed(empty)
}
